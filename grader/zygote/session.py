"""The conversation with one fork: cells and visible tests in order, then hidden tests.

A reply counts only if it is the one that is awaited: the right cell, and for a test the number that
was sent with it a moment ago. Anything else was written by the notebook and ends the conversation
as forged; tests that had not been answered by then score zero.
"""

from __future__ import annotations

import base64
import itertools
import json
import queue
import secrets
import time
from collections.abc import Callable
from typing import Any, get_args

from core.i18n import N_
from grader.protocol import SandboxError
from grader.zygote.inside import frames
from grader.zygote.protocol import (
    CellResult,
    Ended,
    Flag,
    Hidden,
    Hostile,
    Job,
    Limits,
    Result,
    Step,
    parse,
)

_GRACE_SECONDS = 15
_CHUNK = 1 << 20


class Lost(Exception):
    """The container is gone."""


class Unstartable(SandboxError):
    """The fork ended before the first cell: no doing of a learner's code. Says where to look."""


class _Over(Exception):
    """The fork ended before it answered."""


class _Stopped(Exception):
    """The notebook's process ended, or took all the time it may; snapshots may still answer."""


class Channel:
    """Frames to and from one fork."""

    def __init__(self, job: int, write: Callable[[bytes], None]) -> None:
        self.job = job
        self.exited = False
        self.end: dict[str, Any] = {}
        self.fork_ms = 0.0
        self.events: queue.Queue[tuple[int, bytes | None]] = queue.Queue()
        self._write = write
        self._buffer = bytearray()

    def send(self, kind: int, payload: bytes = b"") -> None:
        """One frame."""
        self._write(frames.pack(self.job, kind, payload))

    def say(self, message: dict[str, Any]) -> None:
        """One message to the fork, in frames that others' can go between."""
        data = frames.encode(message)
        for at in range(0, len(data), _CHUNK):
            self.send(frames.DATA, data[at : at + _CHUNK])

    def hear(self, deadline: float, limits: Limits) -> dict[str, Any]:
        """The next message, checked. Raises Hostile, _Over, Lost."""
        while True:
            if len(self._buffer) >= frames.SIZE.size:
                (length,) = frames.SIZE.unpack_from(self._buffer)
                if length > limits.output_bytes:
                    raise Hostile(f"a message of {length} bytes")
                whole = frames.SIZE.size + length
                if len(self._buffer) >= whole:
                    data = bytes(self._buffer[frames.SIZE.size : whole])
                    del self._buffer[:whole]
                    return parse(data)
            self._buffer += self._next(deadline)

    def _next(self, deadline: float) -> bytes:
        while True:
            try:
                kind, payload = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if payload is None:
                self.exited = True
                raise Lost
            if kind == frames.DATA:
                return payload
            if kind == frames.FORKED:
                self.fork_ms = float(json.loads(payload)["ms"])
            elif kind == frames.EXIT:
                self.exited = True
                self.end = json.loads(payload)
                raise _Over

    def finish(self) -> None:
        """Kill the fork if it still lives, and wait until it is gone. Raises Lost."""
        if not self.exited:
            self.send(frames.KILL)
        deadline = time.monotonic() + _GRACE_SECONDS
        while not self.exited:
            try:
                self._next(deadline)
            except _Over:
                return
            except TimeoutError:
                raise Lost from None


def run(channel: Channel, job: Job, limits: Limits) -> Result:
    """Execute `job` over `channel`. Raises Lost when the container died, Unstartable."""
    result = Result()
    begun = time.monotonic()
    talk = _Talk(channel, job, limits, result, begun)
    try:
        talk.start()
        started = time.monotonic()
        result.timings["start"] = started - begun
        talk.cells_then_hidden()
        result.timings["execute"] = time.monotonic() - started
    except Hostile as error:
        result.ended, result.detail = "forged", str(error)[:300]
        result.flags.append(Flag(None, "forged", True, f"not an answer of ours: {error}"[:300]))
    except _Over:
        result.ended, result.detail = _ending(channel.end)
    except TimeoutError:
        result.ended = "wall"
    finally:
        channel.finish()
    result.timings["fork"] = channel.fork_ms / 1000
    result.timings["total"] = time.monotonic() - begun
    return result


def _ending(end: dict[str, Any]) -> tuple[Ended, str]:
    reason, status = end.get("reason"), end.get("status")
    for known in get_args(Ended):
        if reason == known:
            return known, ""
    if status == -9:  # not by us: the container's memory limit
        return "memory", "killed by the memory limit of the container"
    if status == 77:
        return "memory", "its processes together held too much memory"
    if status == 70:
        return "crashed", "the fork could not be shut in"
    return "crashed", f"the notebook ended its own process (status {status})"


class _Probe:
    """An assertion that fails with words that must be computed: comes with every test."""

    def __init__(self) -> None:
        a, b = secrets.randbelow(10**6), 1 + secrets.randbelow(10**6)
        c, d = 2 + secrets.randbelow(10**6), 2 + secrets.randbelow(10**6)
        self._words = str(c * d)
        self.asked = {
            "probe": f"assert {a} == {a + b}, {c} * {d}",
            "probe_first": secrets.choice([True, False]),
        }

    def failed_rightly(self, raised: tuple[str, str, int] | None) -> bool:
        """Did the fork run it?"""
        return raised is not None and raised[:2] == ("AssertionError", self._words)


class _Talk:
    def __init__(
        self, channel: Channel, job: Job, limits: Limits, result: Result, begun: float
    ) -> None:
        self.channel, self.job, self.limits, self.result = channel, job, limits, result
        self.end = begun + limits.wall_seconds + _GRACE_SECONDS
        # Snapshots get the last quarter even if the cells never end.
        self.deadline = begun + limits.wall_seconds * (0.75 if self.secrets() else 2)

    def secrets(self) -> list[Step]:
        return [step for step in self.job.steps if step.secret is not None]

    def _hear(self, op: str) -> dict[str, Any]:
        try:
            message = self.channel.hear(min(self.deadline, self.end), self.limits)
        except TimeoutError:
            if self.deadline >= self.end:
                raise
            raise _Stopped("wall") from None
        if message["op"] == "died":
            raise _Stopped("crashed")
        if message["op"] != op:
            raise Hostile(f"{message['op']} where {op} was due")
        return message

    def start(self) -> None:
        files = {n: base64.b64encode(d).decode() for n, d in self.job.files.items()}
        self.channel.say({"op": "start", "files": files, "env": self.job.env})
        try:
            self._hear("started")
        except (_Over, _Stopped):
            size = sum(map(len, self.job.files.values())) / 1e6
            raise Unstartable(
                N_(
                    "The notebook's process ended before its first cell. The files beside the "
                    "notebook have %(size)s MB and there is room for %(room)s MB."
                ),
                size=f"{size:.1f}",
                room=self.limits.disk_mb,
            ) from None

    def cells_then_hidden(self) -> None:
        """Everything visible in order, then the snapshots."""
        try:
            self.steps()
        except _Stopped as stop:
            self.result.ended = "wall" if str(stop) == "wall" else "crashed"
            if self.result.ended == "crashed":
                self.result.detail = "the notebook ended its own process"
        self.deadline = self.end
        self.settle()
        for step in self.secrets():
            self.hidden(step)
        self.channel.say({"op": "bye"})

    def settle(self) -> None:
        """The end of the notebook's process; what it said last counts for nothing."""
        self.channel.say({"op": "settle"})
        message = self.channel.hear(self.end, self.limits)
        while message["op"] != "settled":
            message = self.channel.hear(self.end, self.limits)
        for word in message["noticed"]:
            self.result.flags.append(Flag(None, "looked", False, f"{word} in the notebook"))

    def hidden(self, step: Step) -> None:
        """One hidden test in its snapshot; what failed for learners to see has failed."""
        before = self.result.cells.get(step.index)
        if step.rest is not None and before is not None and before.error:
            before.hidden = Hidden(before.error, None, before.stderr)
            return
        nonce = secrets.token_hex(16)
        source = step.secret if step.rest is None else step.rest
        probe = _Probe()
        self.channel.say(self._test(step, str(source), nonce, "hidden") | probe.asked)
        message = self.channel.hear(self.end, self.limits)
        while message["op"] == "died":
            message = self.channel.hear(self.end, self.limits)
        if message["op"] == "lost" and message["i"] == step.index:
            return
        self._check(message, "hidden", step, nonce)
        self._probed(step, probe, message)
        cell = self.result.cells.setdefault(step.index, CellResult([]))
        found = message["hidden"]
        noisy = found.stderr or (step.rest is not None and cell.stderr)
        cell.hidden = Hidden(found.raised, found.value, noisy)
        self._flags(step, message)

    def steps(self) -> None:
        for test, group in itertools.groupby(self.job.steps, key=lambda step: step.test):
            if test:
                for step in group:
                    self.test(step)
            else:
                self.cells(list(group))
        self.channel.say({"op": "end"})
        self._hear("ended")

    def cells(self, steps: list[Step]) -> None:
        seconds = self.limits.cell_seconds
        sent = [{"i": s.index, "source": s.source, "seconds": seconds} for s in steps]
        self.channel.say({"op": "cells", "cells": sent})
        for step in steps:
            message = self._hear("cell")
            if message["i"] != step.index:
                raise Hostile(f"cell {message['i']} where {step.index} was due")
            self.result.cells[step.index] = CellResult(message["outputs"], message["count"])

    def test(self, step: Step) -> None:
        """A test as the learner knows it, in its place."""
        nonce, probe = secrets.token_hex(16), _Probe()
        self.channel.say(self._test(step, step.source, nonce, "test") | probe.asked)
        message = self._hear("test")
        self._check(message, "test", step, nonce)
        self._probed(step, probe, message)
        self.result.cells[step.index] = CellResult(
            message["outputs"], message["count"], message["raised"]
        )
        self._flags(step, message)

    def _test(self, step: Step, source: str, nonce: str, op: str) -> dict[str, Any]:
        return {
            "op": op, "i": step.index, "source": source, "nonce": nonce, "hidden": op == "hidden",
            "snapshot": self._snapshot(step), "quiet": step.quiet, "aliases": self.job.aliases,
            "seconds": self.limits.cell_seconds,
        }  # fmt: skip

    def _snapshot(self, step: Step) -> str:
        """When to make it: see `inside.runner`."""
        if step.secret is None:
            return ""
        if step.rest is None:
            return "before"
        return "itself" if step is self.job.steps[-1] else "after"

    def _check(self, message: dict[str, Any], op: str, step: Step, nonce: str) -> None:
        right = message["op"] == op and message["i"] == step.index
        if not right or not secrets.compare_digest(message["nonce"].encode(), nonce.encode()):
            raise Hostile("the answer to a test that was not asked")

    def _probed(self, step: Step, probe: _Probe, message: dict[str, Any]) -> None:
        if not probe.failed_rightly(message["probed"]):
            words = "a test that has to fail did not"
            self.result.flags.append(Flag(step.index, "canary", True, words))

    def _flags(self, step: Step, message: dict[str, Any]) -> None:
        known = {(f.cell, f.kind, f.detail) for f in self.result.flags}
        for found in message["findings"]:
            key = (step.index, found["kind"], found["detail"])
            if key not in known:
                known.add(key)
                self.result.flags.append(Flag(step.index, key[1], found["certain"], key[2]))
