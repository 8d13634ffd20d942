"""Chromium for the tests: where it is on this machine, or how to get it.

Debian has it as a package. Ubuntu's package of that name is a snap, which sees neither the tests'
folders in /tmp nor the display of a container; there Playwright's own build is used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cli.errors import CliError
from cli.steps import Report
from cli.system import apt_install, as_root, distribution, follow
from cli.text import _
from core.programs import which

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """A Chromium that Playwright can drive."""
    found = (path for name in _NAMES if (path := which(name)) and not is_snap(Path(path)))
    return next(found, None) or _playwrights()


def is_snap(program: Path) -> bool:
    """True for a snap's program, and for the script that Ubuntu has in its place."""
    real = str(program.resolve())
    if real.startswith("/snap/") or real == "/usr/bin/snap":
        return True
    with program.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"#!") and b"/snap/bin/" in head


def install(report: Report) -> None:
    """Install a Chromium. Raises CliError with what to do by hand."""
    if distribution() == "ubuntu":
        _install_playwrights(report)
    else:
        apt_install(["chromium"], report, purpose=_("The tests"))


def _playwrights() -> str | None:
    home = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    found = sorted(Path(home).glob("chromium-*/chrome-linux*/chrome"))
    return str(found[-1]) if found else None


def _install_playwrights(report: Report) -> None:
    tool = [sys.executable, "-m", "playwright"]
    by_hand = f"sudo {sys.executable} -m playwright install-deps chromium"
    remedy = _("Install it by hand: {command}", command=f"{by_hand} && playwright install chromium")
    root = as_root()
    if root is None:
        raise CliError(
            _("{purpose} needs: {packages}", purpose=_("The tests"), packages="Chromium"), remedy
        )
    follow([*root, *tool, "install-deps", "chromium"], report, remedy)
    follow([*tool, "install", "chromium"], report, remedy)
