"""Fresh pins: `./dli lock` resolves pyproject.toml anew and rewrites requirements.lock."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from cli.errors import CliError
from cli.steps import Report
from cli.text import _
from core.settings import ROOT

LOCK = ROOT / "requirements.lock"

HEADER = """\
# Every Python package of the platform and of its tests, pinned.
# `./dli` installs with `-c requirements.lock`; rewrite it with `./dli lock`, then run `./dli test`.
"""


def pins(frozen: str) -> str:
    """The lock file's text from `pip freeze`. Raises CliError for a pin tied to one machine."""
    lines = sorted(
        (line.strip() for line in frozen.splitlines() if line.strip() and line[0] not in "#-"),
        key=str.lower,
    )
    wrong = [line for line in lines if "==" not in line or "://" in line]
    if wrong:
        raise CliError(_("Not a version pin: {lines}", lines=", ".join(wrong)))
    return HEADER + "\n".join(lines) + "\n"


def refresh(report: Report) -> int:
    """Resolve in a throwaway environment and rewrite the lock; returns the number of pins."""
    with tempfile.TemporaryDirectory(prefix="dli-lock-") as folder:
        report(_("making an empty environment"))
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        report(_("resolving the newest allowed versions"))
        _pip(python, "install", "-q", "-e", f"{ROOT}[test]")
        text = pins(_pip(python, "freeze", "--exclude-editable"))
    LOCK.write_text(text, encoding="utf-8")
    return text.count("==")


def _pip(python: str, *words: str) -> str:
    done = subprocess.run(
        [python, "-m", "pip", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CliError(_("pip failed:") + f"\n{done.stderr.strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    refresh(lambda line: print(line, file=sys.stderr))
