"""The grading container's first process, where things end in the very moment that others do."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from grader.zygote.inside import broker, frames

LIMITS = {"seconds": 60, "output_bytes": 1000}


class Rig:
    """A broker whose zygote is the test; `said` is what it told the host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Standard input is a file here, which epoll refuses.
        monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
        ours, self.zygote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.broker = broker.Broker(ours)
        self.said: list[tuple[int, int, bytes]] = []
        monkeypatch.setattr(self.broker, "to_host", lambda *said: self.said.append(said))

    def open(self, job: int) -> socket.socket:
        """A fork's own end of its socket."""
        self.broker.open(job, {"uid": 1, "limits": LIMITS})
        _data, fds, _flags, _from = socket.recv_fds(self.zygote, 65536, 1)
        return socket.socket(fileno=fds[0])

    def ended(self, job: int) -> None:
        """The zygote reports the fork's end."""
        self.zygote.send(json.dumps({"job": job, "status": 0}).encode())

    def events(self, *jobs: int) -> list[tuple[selectors.SelectorKey, int]]:
        """The zygote's report first, then the forks' own ends: what one `select` may give."""
        keys = self.broker.selector.get_map()
        wanted = [self.broker.control, *(self.broker.forks[job].sock for job in jobs)]
        return [(keys[sock], selectors.EVENT_READ) for sock in wanted]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(monkeypatch)
    yield made
    made.zygote.close()
    made.broker.control.close()


def test_a_forks_last_words_and_its_end_in_one_round(rig: Rig) -> None:
    fork, other = rig.open(1), rig.open(2)
    fork.send(b"last")
    fork.close()
    other.send(b"goes on")
    rig.ended(1)
    assert rig.broker.handle(rig.events(1, 2))
    assert [(job, kind) for job, kind, _payload in rig.said] == [
        (1, frames.DATA), (1, frames.EXIT), (2, frames.DATA),
    ]  # fmt: skip
    assert rig.said[0][2] == b"last"
    assert list(rig.broker.forks) == [2]
    other.close()


def test_bytes_for_a_fork_that_is_gone_are_dropped(rig: Rig) -> None:
    rig.open(1).close()
    rig.broker.from_host(1, frames.DATA, b"x" * 100)
    fork = rig.broker.forks[1]
    assert not fork.pending
    assert rig.broker.selector.get_key(fork.sock).events == selectors.EVENT_READ


def test_a_fault_of_the_brokers_ends_the_container_at_once() -> None:
    """It does not wait for the zygote, which lives on here for longer than we wait."""
    zygote = "import os, time; os.closerange(1, 3); time.sleep(250)"
    code = (
        "import sys, subprocess, pathlib\n"
        "from grader.zygote.inside import broker\n"
        "pathlib.Path.mkdir = lambda *_a, **_k: None\n"
        "real = subprocess.Popen\n"
        f"subprocess.Popen = lambda *a, **k: real([sys.executable, '-c', {zygote!r}], **k)\n"
        "broker.Broker.handle = lambda *_: 1 / 0\n"
        "broker.main('none', [])\n"
    )
    read, write = os.pipe()
    os.write(write, b"something")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=read,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.close(read)
        os.close(write)
    assert done.returncode == 71
    assert "ZeroDivisionError" in done.stderr
