"""Building the stand-in NVML and reading an inventory through it in a process of its own.

The library must be found when the process starts, hence the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "nvml.c"

_READ = """
import json, sys
from dataclasses import asdict
from core.settings import Settings
from labs import inventory
settings = Settings(gpus=json.loads(sys.argv[1]))
try:
    print(json.dumps([asdict(slot) for slot in inventory.read(settings, "host-1")]))
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def build(folder: Path) -> Path:
    """Compile libnvidia-ml.so.1 into `folder`; the folder, for LD_LIBRARY_PATH."""
    library = folder / "libnvidia-ml.so.1"
    words = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([*words, "-o", str(library), str(SOURCE)], check=True)
    return folder


def environment(folder: Path, state: Path) -> dict[str, str]:
    """Environment under which a process sees the GPUs written in `state`."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("DLI_")},
        "LD_LIBRARY_PATH": str(folder),
        "FAKE_NVML_STATE": str(state),
        "DLI_SETTINGS": str(folder / "none.toml"),
    }


def inventory(folder: Path, lines: str, **gpus: Any) -> Any:
    """The slots (as dictionaries) that a process sees with these GPUs, or its error as text."""
    state = folder / "gpus.txt"
    state.write_text(lines)
    done = subprocess.run(
        [sys.executable, "-c", _READ, json.dumps(gpus)],
        env=environment(folder, state),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
