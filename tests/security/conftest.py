"""The table at the end: each attack, what a safe system shows, what was seen."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.platform import RunningPlatform, running_platform
from tests.ports import free_ports
from tests.security import attacks

_HELD: list[tuple[str, str, str]] = []
_GRADING = ("test_zygote_", "test_feedback_")


HOST = "dli.localhost"
"""The platform's name; labs are below it."""


@pytest.fixture(scope="package")
def platform() -> Iterator[RunningPlatform]:
    """One platform for all attacks on the whole: labs under names of their own, small homes."""
    (port,) = free_ports(1)
    site = {"url": f"http://{HOST}:{port}", "subdomains": True}
    with (
        local_names(),
        running_platform(site=site, ports={"public": port}, labs={"home_gb": 1}) as running,
    ):
        yield running


@contextmanager
def local_names() -> Iterator[None]:
    """``*.localhost`` is this machine, as in browsers; not every resolver knows."""
    real = socket.getaddrinfo

    def resolve(host: Any, *words: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        local = isinstance(name, str) and name.endswith(".localhost")
        return real("127.0.0.1" if local else host, *words, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Each test of this folder is an attack, or a group of them that notes its own lines."""
    if "tests/security/" not in report.nodeid or (report.when != "call" and not report.failed):
        return
    file, _sep, name = report.nodeid.partition("tests/security/")[2].partition(".py::")
    words = name.removeprefix("test_").replace("_", " ")
    _HELD.append((file, words, "held" if report.passed else "BROKEN"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table when attacks ran."""
    if not _HELD:
        return
    out = terminalreporter
    out.section("attacks: attack, expected, seen")
    for file in dict.fromkeys(file for file, _words, _seen in _HELD):
        out.write_line(f"{file}")
        for _file, words, seen in (row for row in _HELD if row[0] == file):
            out.write_line(f"  {words[:78]:<78} held      {seen}")
        for _file, attack, expected, seen in (row for row in attacks.ROWS if row[0] == file):
            out.write_line(f"    {attack[:60]:<60} {expected[:22]:<22} {seen}")
    grading = sum(1 for file, _words, _seen in _HELD if file.startswith(_GRADING))
    broken = sum(1 for _file, _words, seen in _HELD if seen != "held")
    single = len(attacks.ROWS) + len(_HELD)
    out.write_line(f"{single} lines, {grading} on exchange and grading, {broken} broken")
