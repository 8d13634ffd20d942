"""The conversation with one fork: cells in order, each test when its turn comes, replies checked.

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

from grader.zygote.inside import frames
from grader.zygote.protocol import CellResult, Ended, Flag, Hostile, Job, Limits, Result, Step, parse

_GRACE_SECONDS = 15


class Lost(Exception):
    """The container is gone."""


class _Over(Exception):
    """The fork ended before it answered."""


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
        """One message to the fork."""
        self.send(frames.DATA, frames.encode(message))

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
                raise Lost from None
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


def run(channel: Channel, job: Job, limits: Limits) -> Result:
    """Execute `job` over `channel`. Raises Lost when the container died."""
    result = Result()
    begun = time.monotonic()
    deadline = begun + limits.wall_seconds + _GRACE_SECONDS
    talk = _Talk(channel, job, limits, result, deadline)
    try:
        talk.start()
        started = time.monotonic()
        talk.steps()
        result.timings["execute"] = time.monotonic() - started
        result.timings["start"] = started - begun
    except Hostile as error:
        result.ended, result.detail = "forged", str(error)[:300]
        result.flags.append(Flag(None, "forged", True, f"not an answer of ours: {error}"[:300]))
    except _Over:
        result.ended, result.detail = _ending(channel.end)
    finally:
        channel.finish()
    result.timings["fork"] = channel.fork_ms / 1000
    result.timings["total"] = time.monotonic() - begun
    return result


def _ending(end: dict[str, Any]) -> tuple[Ended, str]:
    reason, status = end.get("reason"), end.get("status")
    if reason in get_args(Ended):
        return reason, ""
    if status == -9:  # not by us: the container's memory limit
        return "memory", "killed by the memory limit of the container"
    if status == 70:
        return "crashed", "the fork could not be shut in"
    return "crashed", f"the notebook ended its own process (status {status})"


class _Talk:
    def __init__(
        self, channel: Channel, job: Job, limits: Limits, result: Result, deadline: float
    ) -> None:
        self.channel, self.job, self.limits = channel, job, limits
        self.result, self.deadline = result, deadline

    def _hear(self, op: str) -> dict[str, Any]:
        message = self.channel.hear(self.deadline, self.limits)
        if message["op"] != op:
            raise Hostile(f"{message['op']} where {op} was due")
        return message

    def start(self) -> None:
        files = {n: base64.b64encode(d).decode() for n, d in self.job.files.items()}
        self.channel.say({"op": "start", "files": files, "env": self.job.env})
        self._hear("started")

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
        nonce = secrets.token_hex(16)
        self.channel.say({
            "op": "test", "i": step.index, "source": step.source, "nonce": nonce,
            "hidden": bool(step.hidden), "quiet": step.quiet, "aliases": self.job.aliases,
            "seconds": self.limits.cell_seconds,
        })  # fmt: skip
        message = self._hear("test")
        if message["i"] != step.index or not secrets.compare_digest(message["nonce"], nonce):
            raise Hostile("the answer to a test that was not asked")
        self.result.cells[step.index] = CellResult(
            message["outputs"], message["count"], message["raised"]
        )
        known = {(f.cell, f.kind, f.detail) for f in self.result.flags}
        for found in message["findings"]:
            key = (step.index, found["kind"], found["detail"])
            if key not in known:
                known.add(key)
                self.result.flags.append(Flag(*key[:2], found["certain"], found["detail"]))
