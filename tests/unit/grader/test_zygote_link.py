"""The worker's end of a grading container: whatever happens over there, nobody waits for ever."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from grader.protocol import Cell, SandboxError
from grader.runner import Task
from grader.zygote import host, session
from grader.zygote.inside import frames, isolate, zygote
from grader.zygote.protocol import Job, Limits, Step
from grader.zygote.sandbox import ZygoteSandbox

READY = {"failed": {}, "import_s": 0.0}
JOB = Job((Step(0, "1"),))


def said(data: bytes, stream: int = 1) -> bytes:
    """Bytes of the container's as Docker's attach stream gives them."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


class Engine:
    """Docker, and one container that is the test's other end of a socket."""

    def __init__(self) -> None:
        self.containers = self
        self.ours, self._sock = socket.socketpair()
        self.removed = 0
        self.fault: Exception | None = None
        self.on_start: Any = None

    def info(self) -> dict[str, int]:
        return {"NCPU": 2}

    def create(self, **_arguments: Any) -> Engine:
        return self

    def attach_socket(self, params: Any) -> Engine:
        return self

    def start(self) -> None:
        if self.on_start:
            raise self.on_start
        self.ours.sendall(said(frames.pack(0, frames.READY, json.dumps(READY).encode())))

    def remove(self, **_how: Any) -> None:
        self.removed += 1
        if self.fault:
            raise self.fault

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.ours.close()
    made._sock.close()


def link(engine: Engine) -> host._Link:
    return host._Link(engine, "image", [], Limits(), "t", 2, None)  # type: ignore[arg-type]


def test_frames_for_a_job_that_was_dropped_do_not_end_the_reader(engine: Engine) -> None:
    made = link(engine)
    first, second = made.open(0, Limits()), made.open(1, Limits())
    made.drop(first)
    engine.ours.sendall(said(frames.pack(first.job, frames.DATA, b"late")))
    engine.ours.sendall(said(frames.pack(second.job, frames.DATA, b"on time")))
    assert second.events.get(timeout=60) == (frames.DATA, b"on time")
    made.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        said(frames.HEAD.pack(frames.MAX_FRAME + 1, 1, frames.DATA)),
        said(frames.pack(0, frames.READY, b"[")),
        said(b"x", 2) + said(frames.pack(0, frames.READY, b"\xff")),
    ],
)
def test_a_reader_that_fails_wakes_everybody(engine: Engine, nonsense: bytes) -> None:
    made = link(engine)
    channel = made.open(0, Limits())
    engine.ours.sendall(nonsense)
    with pytest.raises(session.Lost):
        session.run(channel, JOB, Limits())
    assert made.dead.is_set()
    late = made.open(0, Limits())
    with pytest.raises(session.Lost):
        session.run(late, JOB, Limits())
    made.close()


def test_a_fault_in_the_reader_itself_wakes_everybody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = link(engine)
    channel = made.open(0, Limits())
    monkeypatch.setattr(made, "_dispatch", lambda *_: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    engine.ours.sendall(said(frames.pack(channel.job, frames.DATA, b"x")))
    assert channel.events.get(timeout=60) == (frames.EXIT, None)
    made.close()


def test_a_container_that_takes_nothing_is_given_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SEND_SECONDS", 1)
    made = link(engine)
    channels = [made.open(slot, Limits()) for slot in range(2)]
    big = Job((Step(0, "1"),), {"data": b"x" * (8 << 20)})
    ended: queue.Queue[str] = queue.Queue()

    def run(channel: session.Channel, job: Job) -> None:
        try:
            session.run(channel, job, Limits())
        except session.Lost:
            ended.put("lost")

    for channel, job in zip(channels, (big, JOB), strict=True):
        threading.Thread(target=run, args=(channel, job), daemon=True).start()
    assert [ended.get(timeout=60) for _ in channels] == ["lost", "lost"]
    made.close()


def test_closing_ends_the_container_even_when_docker_does_not_answer(engine: Engine) -> None:
    made = link(engine)
    engine.fault = requests.exceptions.ReadTimeout("60 s")
    made.close()
    engine.ours.settimeout(60)
    while engine.ours.recv(1 << 16):
        pass  # to the end of what was sent: standard input is closed, and with it everything ends


@pytest.mark.parametrize("fault", [OSError("no"), KeyError("odd"), requests.exceptions.Timeout()])
def test_a_start_that_fails_leaves_no_container(engine: Engine, fault: Exception) -> None:
    engine.on_start = fault
    with pytest.raises(host.ZygoteError):
        link(engine)
    assert engine.removed == 1


def test_a_big_submission_goes_in_frames_that_the_broker_takes(engine: Engine) -> None:
    sent: list[bytes] = []
    channel = session.Channel(1, sent.append)
    channel.say({"op": "start", "files": {"a": "x" * (3 << 20)}})
    splitter = frames.Splitter()
    got = [frame for data in sent for frame in splitter.feed(data)]
    assert max(len(payload) for _job, _kind, payload in got) <= 1 << 20
    assert len(b"".join(payload for *_head, payload in got)) > 3 << 20


def test_a_fork_that_ends_before_its_first_cell_is_nobodys_score() -> None:
    channel = session.Channel(1, lambda _: None)
    channel.events.put((frames.EXIT, b'{"status": 70, "reason": ""}'))
    with pytest.raises(session.Unstartable, match="room for 64 MB"):
        session.run(channel, JOB, Limits())


def test_it_is_an_error_of_the_platform_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        def run(self, _job: Job) -> None:
            raise session.Unstartable("the notebook's process ended before its first cell")

    box = ZygoteSandbox.__new__(ZygoteSandbox)
    monkeypatch.setattr(box, "zygote", lambda _packages: Never())
    with pytest.raises(SandboxError, match="before its first cell"):
        box.run(Task([Cell(index=0, source="1")], {}, []))


def test_a_fork_that_cannot_be_made_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, theirs = socket.socketpair()
    made = zygote.Zygote(control, None, None)  # type: ignore[arg-type]

    def no_more(_flags: int) -> None:
        raise BlockingIOError("no process left")

    monkeypatch.setattr(isolate, "unshare", no_more)
    order = json.dumps({"fork": 7, "uid": 1, "limits": {}}).encode()
    socket.send_fds(broker, [order], [theirs.fileno()])
    theirs.close()
    assert made.command()
    assert json.loads(broker.recv(4096)) == {"job": 7, "status": 70}
    assert ours.recv(1) == b"", "the zygote kept the fork's socket"
    for sock in (broker, control, ours):
        sock.close()
