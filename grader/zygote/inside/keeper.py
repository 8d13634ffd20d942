"""First process of a fork's pid namespace: stands between the host and the notebook's process.

The notebook runs in a child. At each cell with hidden tests the child forks a *snapshot* of itself,
which waits, and goes on with the next cell; for the last cell it may wait itself. When all cells
ran, the keeper kills everything but the snapshots and listens to nobody but them, and only then do
hidden tests come in and go to the snapshots. So each test meets the state it would have met in
order, and no line of a hidden test is ever in a process whose output a learner still gets back.

The keeper has the learner's uid but is not dumpable, and as the namespace's first process it takes
no signal from inside. It also watches the memory of all its processes together, in a thread of its
own: the notebook can keep the loop waiting.

The notebook holds the sockets that the child announces snapshots by. An announcement counts for a
test that was asked, once; a second one shows that the first was somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from . import frames

_WATCH_SECONDS = 0.25
_SWEEPS = 2000
_ANSWER_BYTES = 64 * 1024
_MOST_WORDS = 20
_RESIDENT = ("status", "RssAnon:")
_SHARE = ("smaps_rollup", "Pss_Anon:")


class Keeper:
    """The loop; see the module."""

    def __init__(
        self, comm: socket.socket, main: socket.socket, register: socket.socket, pid: int,
        limits: dict[str, int],
    ) -> None:  # fmt: skip
        self.comm, self.main, self.register, self.pid = comm, main, register, pid
        self.limits = limits
        self.ceiling_kb = (limits["memory_mb"] + limits["disk_mb"]) * 1024 + _own_kb(1, _RESIDENT)
        self.snapshots: dict[int, tuple[int, socket.socket]] = {}
        self.asked: set[int] = set()
        self.noticed: set[str] = set()
        self.forged = False
        self.alive = True
        self.listening = True
        register.setblocking(False)

    def run(self) -> None:
        """Until the host says end or goes away."""
        threading.Thread(target=self.watch, daemon=True).start()
        while True:
            sources = [self.comm, *([self.register] if self.listening else []),
                       *([self.main] if self.alive else [])]  # fmt: skip
            ready, _, _ = select.select(sources, [], [])
            if self.register in ready:
                self.take_snapshots()
            if self.main in ready:
                self.relay()
            if self.comm in ready and not self.from_host():
                return

    def from_host(self) -> bool:
        """One message of the host's; most are for the notebook's process. False at the end."""
        try:
            message = frames.receive(self.comm)
        except frames.Closed:
            return False
        if message["op"] == "settle":
            self.settle()
        elif message["op"] == "hidden":
            self.hidden(message)
        elif message["op"] == "bye":
            return False
        elif self.alive:
            if message.get("snapshot"):
                self.asked.add(message["i"])
            with contextlib.suppress(OSError):
                self.main.sendall(frames.encode(message))
        return True

    def relay(self) -> None:
        """One whole message of the notebook's process, unread, or news of its death."""
        try:
            self.comm.sendall(_whole(self.main, self.limits["output_bytes"]))
        except (frames.Closed, OSError):
            self.alive = False
            status = 0
            with contextlib.suppress(ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)  # it may live and have said nonsense
                status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.say({"op": "died", "status": status})

    def take_snapshots(self) -> None:
        """Note the snapshots that the notebook's process announced, and what it tells of itself."""
        with contextlib.suppress(OSError):  # nothing more for now
            while True:
                data, fds, _, _ = socket.recv_fds(self.register, 64, 1)
                if not data:
                    self.listening = False
                    return
                if data[:1] == b"!":
                    if len(self.noticed) < _MOST_WORDS:
                        self.noticed.add(data[1:].decode("ascii", "replace"))
                else:
                    self.note(data, [socket.socket(fileno=fd) for fd in fds])

    def note(self, data: bytes, channels: list[socket.socket]) -> None:
        """One announcement: cell, process, and the channel to it."""
        try:
            index, pid = map(int, data.split())
            (channel,) = channels
        except ValueError:
            index, pid = -1, 0
        if index not in self.asked or index in self.snapshots or pid < 2:
            self.forged = True
            for one in channels:
                one.close()
        else:
            self.snapshots[index] = (pid, channel)

    def settle(self) -> None:
        """Kill everything but the snapshots; then tell the host."""
        self.take_snapshots()
        self.alive = False
        if not self.sweep({pid for pid, _ in self.snapshots.values()}):
            self.snapshots = {}
        words = {"op": "settled", "noticed": sorted(self.noticed)}
        self.say({"op": "forged"} if self.forged else words)

    def sweep(self, spared: set[int]) -> bool:
        """Kill every process of the namespace but `spared`. False when they cannot be caught."""
        for _ in range(_SWEEPS):
            others = [pid for pid in _pids() if pid not in spared and pid != 1 and not _ended(pid)]
            for pid in others:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.reap()
            if not others:
                return True
            time.sleep(0.002)
        os.kill(-1, signal.SIGKILL)
        return False

    def reap(self) -> None:
        """Orphans of the notebook end here."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def hidden(self, message: dict[str, Any]) -> None:
        """One hidden test, in its snapshot; the snapshot dies with its answer."""
        pid, channel = self.snapshots.pop(message["i"], (0, None))
        answer = None
        if channel is not None:
            channel.settimeout(message["seconds"] + 2)
            with contextlib.suppress(OSError, frames.Closed):
                channel.sendall(frames.encode(message))
                answer = _whole(channel, _ANSWER_BYTES)
            channel.close()
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            self.sweep({pid for pid, _ in self.snapshots.values()})
        if answer is None:
            self.say({"op": "lost", "i": message["i"]})
        else:
            self.comm.sendall(answer)

    def say(self, message: dict[str, Any]) -> None:
        """A message of the keeper's own."""
        self.comm.sendall(frames.encode(message))

    def watch(self) -> None:
        """End the namespace when its processes hold too much memory (its death ends them all)."""
        while True:
            time.sleep(_WATCH_SECONDS)
            with contextlib.suppress(OSError):
                pids = _pids()
                # What forks share counts in each: only when that is too much, the exact count.
                if all(
                    sum(_own_kb(pid, *how) for pid in pids) > self.ceiling_kb
                    for how in ((_RESIDENT,), (_SHARE, _RESIDENT))
                ):
                    os._exit(77)


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _ended(pid: int) -> bool:
    """Gone, or a zombie that its parent, a snapshot, does not fetch."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1][1] in "ZX"
    except OSError:
        return True


def _own_kb(pid: int, *ways: tuple[str, str]) -> int:
    """Anonymous memory in KiB by the first way that this process does not hide."""
    for name, key in ways:
        with contextlib.suppress(OSError):
            for line in Path("/proc", str(pid), name).read_text().splitlines():
                if line.startswith(key):
                    return int(line.split()[1])
    return 0


def _whole(sock: socket.socket, most: int) -> bytes:
    """One framed message with its head. Raises frames.Closed at the end or when it is too long."""
    head = frames.exactly(sock, frames.SIZE.size)
    (length,) = frames.SIZE.unpack(head)
    if length > most:
        raise frames.Closed
    return head + frames.exactly(sock, length)
