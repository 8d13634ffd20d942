"""What the operating system is and what this account may do on it: root, apt, systemd."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli.errors import CliError
from cli.steps import Report
from cli.text import _


def as_root() -> list[str] | None:
    """Words to put before a command so that root runs it; None when this account may not."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    asked = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False)
    return [sudo, "-n"] if asked.returncode == 0 else None


def systemd_runs() -> bool:
    """True when systemd is this machine's init (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def distribution(release: str | None = None) -> str:
    """``debian``, ``ubuntu`` or ``other``; a derivative counts as what it says it is like.

    From the text of os-release(5), by default this machine's.
    """
    if release is None:
        file = Path("/etc/os-release")
        release = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    names = " ".join(os_release(release).get(key, "") for key in ("ID", "ID_LIKE")).split()
    return next((name for name in names if name in ("debian", "ubuntu")), "other")


def os_release(text: str) -> dict[str, str]:
    """The variables of os-release(5), unquoted; lines that are none are left out."""
    found = {}
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith("#"):
            try:
                found[name] = " ".join(shlex.split(value))
            except ValueError:  # a quote that is not closed
                found[name] = value
    return found


def apt_install(packages: Sequence[str], report: Report, *, purpose: str) -> None:
    """Install Debian packages. Raises CliError with the line to type when this account may not."""
    words = " ".join(packages)
    remedy = _("Install it by hand: sudo apt-get install {packages}", packages=words)
    root = as_root()
    if root is None or shutil.which("apt-get") is None:
        raise CliError(_("{purpose} needs: {packages}", purpose=purpose, packages=words), remedy)
    quiet = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q"]
    follow([*quiet, "update"], report, remedy)
    follow([*quiet, "--no-install-recommends", "install", *packages], report, remedy)


def follow(command: list[str], report: Report, remedy: str) -> None:
    """Run a command, reporting its lines. Raises CliError with its last lines when it fails."""
    tail: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                tail = [*tail[-7:], line.rstrip()]
                report(line)
    if process.returncode:
        what = " ".join(command)
        raise CliError(_("Failed: {command}", command=what) + "\n" + "\n".join(tail), remedy)
