"""First process of the grading container: passes bytes between the host and the forks.

Submissions and hidden tests go through here and never through the zygote: a fork is a copy of the
zygote's memory, and must not find another learner's work or a test in it. The broker reads no more
of a fork's bytes than their number. It has a fork killed at its wall limit, and when it says too
much.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import frames

_CHUNK = 1 << 16
_TICK_SECONDS = 0.2


@dataclass
class Fork:
    """One submission's process, as the broker sees it."""

    job: int
    sock: socket.socket
    deadline: float
    max_bytes: int
    seen: int = 0
    reason: str = ""
    pending: bytearray = field(default_factory=bytearray)


class Broker:
    """The loop. Ends when the host closes stdin or the zygote dies; the container ends with it."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.forks: dict[int, Fork] = {}
        self.splitter = frames.Splitter()
        self.selector = selectors.DefaultSelector()
        self.selector.register(0, selectors.EVENT_READ, None)
        self.selector.register(control, selectors.EVENT_READ, control)

    def run(self) -> None:
        """Serve until stdin closes."""
        while self.handle(self.selector.select(_TICK_SECONDS if self.forks else None)):
            self.enforce()

    def handle(self, events: list[tuple[selectors.SelectorKey, int]]) -> bool:
        """What the selector saw. False when stdin closed."""
        for key, mask in events:
            fork = key.data
            if fork is None:
                chunk = os.read(0, _CHUNK)
                if not chunk:
                    return False
                for job, kind, payload in self.splitter.feed(chunk):
                    self.from_host(job, kind, payload)
            elif fork is self.control:
                self.from_zygote()
            elif fork.job in self.forks:  # it may have ended in this very round
                self.from_fork(fork, mask)
        return True

    def from_host(self, job: int, kind: int, payload: bytes) -> None:
        """One frame of the host's."""
        fork = self.forks.get(job)
        if kind == frames.OPEN:
            self.open(job, json.loads(payload))
        elif fork is None:
            return  # it ended while this was on its way
        elif kind == frames.DATA:
            fork.pending += payload
            self.flush(fork)
        elif kind == frames.KILL:
            self.kill(fork, "cancelled")

    def open(self, job: int, order: dict[str, Any]) -> None:
        """Have the zygote fork. The order holds limits, never a learner's or a test's byte."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        limits = order["limits"]
        fork = Fork(job, ours, time.monotonic() + limits["seconds"], limits["output_bytes"])
        self.forks[job] = fork
        self.selector.register(ours, selectors.EVENT_READ, fork)
        message = json.dumps({"fork": job, "uid": order["uid"], "limits": limits}).encode()
        socket.send_fds(self.control, [message], [theirs.fileno()])
        theirs.close()

    def flush(self, fork: Fork) -> None:
        """Write what the fork will take; wait for the rest."""
        try:
            while fork.pending:
                del fork.pending[: fork.sock.send(fork.pending[:_CHUNK])]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            fork.pending.clear()  # nobody will read it: do not wait for that
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if fork.pending else 0)
        with contextlib.suppress(KeyError):
            self.selector.modify(fork.sock, events, fork)

    def from_fork(self, fork: Fork, mask: int) -> None:
        """Bytes of a fork: counted, passed on unread."""
        if mask & selectors.EVENT_WRITE:
            self.flush(fork)
        if mask & selectors.EVENT_READ and not self.relay(fork):
            self.selector.unregister(fork.sock)

    def relay(self, fork: Fork) -> bool:
        """Pass on one chunk. False when there will be no more."""
        try:
            chunk = fork.sock.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            chunk = b""
        fork.seen += len(chunk)
        if fork.seen > fork.max_bytes:
            self.kill(fork, "output")
            return False
        if chunk:
            self.to_host(fork.job, frames.DATA, chunk)
        return bool(chunk)

    def from_zygote(self) -> None:
        """Ready, forked, or exited."""
        data = self.control.recv(_CHUNK)
        if not data:
            raise EOFError("the zygote ended")
        message = json.loads(data)
        if "ready" in message:
            self.to_host(0, frames.READY, data)
            return
        fork = self.forks.get(message["job"])
        if fork is None:
            return
        if "pid" in message:
            self.to_host(fork.job, frames.FORKED, data)
            return
        del self.forks[fork.job]
        before = -1
        while not fork.reason and before != fork.seen:  # what it said last
            before = fork.seen
            self.relay(fork)
        with contextlib.suppress(KeyError):
            self.selector.unregister(fork.sock)
        fork.sock.close()
        end = {"status": message["status"], "reason": fork.reason}
        self.to_host(fork.job, frames.EXIT, json.dumps(end).encode())

    def enforce(self) -> None:
        """Wall limits."""
        now = time.monotonic()
        for fork in self.forks.values():
            if now > fork.deadline:
                self.kill(fork, "wall")

    def kill(self, fork: Fork, reason: str) -> None:
        """End a fork's namespace; the zygote, its parent, knows that the pid is still its own."""
        if not fork.reason:
            fork.reason = reason
            self.control.send(json.dumps({"kill": fork.job}).encode())

    def to_host(self, job: int, kind: int, payload: bytes) -> None:
        """One frame to the host. Blocks until the host read it."""
        data = memoryview(frames.pack(job, kind, payload))
        while data:
            data = data[os.write(1, data) :]


def main(archive: str, packages: list[str]) -> None:
    """Start the zygote and serve. `archive` is the path of these files, `packages` to import."""
    Path("/run/dli/fs").mkdir()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    start = "import sys; sys.path.insert(0, sys.argv[1]); from dlizygote.zygote import main; main()"
    arguments = [sys.executable, "-I", "-c", start, archive, str(theirs.fileno()), *packages]
    subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=2, pass_fds=[theirs.fileno()])
    theirs.close()
    status = 71
    try:
        Broker(ours).run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # At once, whatever happened: this is PID 1, and what still runs ends with it. A broker
        # that waits for the zygote would leave the host waiting for the wall limit.
        os._exit(status)
