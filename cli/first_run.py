"""The settings file that the first `./dli up` writes."""

from __future__ import annotations

from pathlib import Path

from cli.settings_doc import EXAMPLE
from core.settings import settings_file

SIMULATED = "2x NVIDIA H100 80GB, MIG 7"


def ensure_settings_file(has_gpu: bool) -> Path | None:
    """Write dli.toml when there is none; returns its path then. Without a GPU, simulate some."""
    file = settings_file()
    if file.exists():
        return None
    file.write_text(first_settings(EXAMPLE.read_text(encoding="utf-8"), has_gpu), encoding="utf-8")
    return file


def first_settings(example: str, has_gpu: bool) -> str:
    """The example, with simulated GPUs switched on where there are none."""
    if has_gpu:
        return example
    line = '# simulated = ""\n'
    assert line in example, "deploy/dli.example.toml has lost gpus.simulated"
    return example.replace(
        line,
        "# No NVIDIA GPU was found at the first start; empty this to have none at all.\n"
        f'simulated = "{SIMULATED}"\n',
    )
