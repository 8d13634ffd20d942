"""The base image by debootstrap: Debian's keys are needed, also where Debian is not the host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli import image_parts


class Host:
    """A machine with or without the tool, Debian's keys, apt-get and root; notes what it ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.programs = {"apt-get"}
        self.keys = folder / "keys.gpg"
        self.ran: list[list[str]] = []
        self.uid = 0
        self.installs = True
        monkeypatch.setattr(image_parts, "DEBIAN_KEYS", self.keys)
        monkeypatch.setattr("cli.image_parts.os.geteuid", lambda: self.uid)
        monkeypatch.setattr("cli.image_parts.shutil.which", self._which)
        monkeypatch.setattr("cli.image_parts.subprocess.run", self._run)

    def _which(self, name: str, path: str = "") -> str | None:
        return f"/usr/sbin/{name}" if name in self.programs else None

    def _run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.ran.append(command)
        if "install" in command and self.installs:
            self.programs.add("debootstrap")
            self.keys.touch()
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    return Host(monkeypatch, tmp_path)


@pytest.mark.parametrize("tool", [True, False])
def test_ubuntu_gets_debians_keys_beside_the_tool(host: Host, tool: bool) -> None:
    """Ubuntu's debootstrap only suggests them, and would make an unverified base without."""
    host.programs |= {"debootstrap"} if tool else set()
    assert image_parts._debootstrap() == "/usr/sbin/debootstrap"
    assert "debian-archive-keyring" in host.ran[-1]


def test_what_is_there_is_not_installed_again(host: Host) -> None:
    host.programs.add("debootstrap")
    host.keys.touch()
    image_parts._debootstrap()
    assert host.ran == []


@pytest.mark.parametrize(("uid", "installs"), [(1000, True), (0, False)])
def test_without_root_or_without_the_keys_there_is_a_line_to_type(
    host: Host, uid: int, installs: bool
) -> None:
    host.uid, host.installs = uid, installs
    host.programs.add("debootstrap")
    with pytest.raises(image_parts.PartError, match="install debootstrap debian-archive-keyring"):
        image_parts._debootstrap()
