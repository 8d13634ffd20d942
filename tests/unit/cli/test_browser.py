"""Which system this is and where its Chromium comes from: Debian's package, not Ubuntu's snap."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli import browser, system
from cli.doctor import system_check
from cli.errors import CliError

RELEASES = [
    ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n', "debian"),
    ('PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nID_LIKE=debian\n', "ubuntu"),
    ('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "ubuntu"),
    ("ID=raspbian\nID_LIKE=debian\n", "debian"),
    ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "other"),
    ("# nothing\n\nID\nID='debian\n", "other"),
    ("", "other"),
]


@pytest.mark.parametrize(("text", "name"), RELEASES)
def test_distributions(text: str, name: str) -> None:
    assert system.distribution(text) == name
    assert system_check(text).state == ("warning" if name == "other" else "ok")


def test_doctor_names_the_system() -> None:
    assert system_check(RELEASES[1][0]).found == "Ubuntu 24.04.3 LTS"
    assert "Ubuntu 24.04" in system_check(RELEASES[4][0]).remedy


class Host:
    """A machine of one distribution that notes what is installed on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
        self.folder = folder
        self.ran: list[str] = []
        monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(folder / "playwright"))
        monkeypatch.setattr(browser, "distribution", lambda: name)
        monkeypatch.setattr(browser, "as_root", lambda: ["sudo", "-n"])
        monkeypatch.setattr(browser, "which", self._which)
        monkeypatch.setattr(
            browser, "apt_install", lambda packages, *_, **__: self.ran.append(f"apt {packages}")
        )
        monkeypatch.setattr(
            browser, "follow", lambda command, *_: self.ran.append(" ".join(command))
        )

    def _which(self, name: str) -> str | None:
        path = self.folder / name
        return str(path) if path.exists() else None

    def program(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


def test_debian_takes_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = Host(monkeypatch, tmp_path, "debian")
    assert browser.find() is None
    browser.install(lambda _line: None)
    assert host.ran == ["apt ['chromium']"]
    mine = host.program("chromium", "#!/bin/sh\nexec /usr/lib/chromium/chromium\n")
    assert browser.find() == mine


def test_ubuntu_takes_playwrights_build_and_never_the_snap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = Host(monkeypatch, tmp_path, "ubuntu")
    host.program("chromium-browser", '#!/bin/sh\nexec /snap/bin/chromium "$@"\n')
    assert browser.find() is None
    browser.install(lambda _line: None)
    assert host.ran == [
        f"sudo -n {sys.executable} -m playwright install-deps chromium",
        f"{sys.executable} -m playwright install chromium",
    ]
    for number in (1100, 1200):
        found = host.program(f"playwright/chromium-{number}/chrome-linux64/chrome", "ELF")
    assert browser.find() == found


def test_a_chrome_that_is_there_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = Host(monkeypatch, tmp_path, "ubuntu")
    mine = host.program("google-chrome", "ELF")
    assert browser.find() == mine


def test_without_root_the_lines_to_type_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = Host(monkeypatch, tmp_path, "ubuntu")
    monkeypatch.setattr(browser, "as_root", lambda: None)
    with pytest.raises(CliError) as error:
        browser.install(lambda _line: None)
    assert "install-deps chromium" in error.value.remedy
    assert host.ran == []
