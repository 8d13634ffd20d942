"""Length-prefixed messages between the processes of a sandbox. Standard library only."""

from __future__ import annotations

import ctypes
import json
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

_HEAD = struct.Struct(">I")
_PR_SET_DUMPABLE = 4


class Broken(Exception):
    """The other side is gone, too slow, too loud, or speaks nonsense. The text says which."""


def send(fd: int, message: dict[str, Any]) -> None:
    """Write one message as JSON. Raises OSError when the other side is gone."""
    send_bytes(fd, json.dumps(message, default=str, skipkeys=True).encode())


def send_bytes(fd: int, data: bytes) -> None:
    """Write one message of raw bytes."""
    view = memoryview(_HEAD.pack(len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, limit: int, deadline: float | None = None) -> dict[str, Any]:
    """Read one JSON message of at most `limit` bytes. Raises Broken."""
    try:
        message = json.loads(receive_bytes(fd, limit, deadline))
    except (ValueError, RecursionError):
        raise Broken("nonsense") from None
    if not isinstance(message, dict):
        raise Broken("nonsense")
    return message


def receive_bytes(fd: int, limit: int, deadline: float | None = None) -> bytes:
    """Read one raw message. `deadline` is a time.monotonic() value. Raises Broken."""
    (size,) = _HEAD.unpack(_exactly(fd, _HEAD.size, deadline))
    if size > limit:
        raise Broken("too much")
    return _exactly(fd, size, deadline)


def hider(dumpable: int = 0) -> Callable[[], None]:
    """A call after which no process of the same user may read this one's memory or descriptors.

    With `dumpable` 1 the opposite. What it needs is bound now, before any learner's code.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_DUMPABLE, dumpable, 0, 0, 0) and None


def _exactly(fd: int, count: int, deadline: float | None) -> bytes:
    parts = []
    while count:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise Broken("time")
        try:
            part = os.read(fd, min(count, 1 << 20))
        except OSError:
            part = b""
        if not part:
            raise Broken("end")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
