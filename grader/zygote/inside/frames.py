"""Framing: between host and broker (job, kind, bytes), and between host and a fork (JSON)."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEAD = struct.Struct("!IIB")
"""Length of the payload in bytes, job number, kind."""
SIZE = struct.Struct("!I")
MAX_FRAME = 64 * 1024 * 1024

READY, OPEN, DATA, KILL, EXIT, FORKED = range(6)


class Closed(Exception):
    """The other side went away."""


class Splitter:
    """Cuts a byte stream into host-broker frames. A frame over MAX_FRAME is a ValueError."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[tuple[int, int, bytes]]:
        """All (job, kind, payload) that are complete now."""
        self._buffer += chunk
        found = []
        while len(self._buffer) >= HEAD.size:
            length, job, kind = HEAD.unpack_from(self._buffer)
            if length > MAX_FRAME:
                raise ValueError(f"frame of {length} bytes")
            if len(self._buffer) < HEAD.size + length:
                break
            found.append((job, kind, bytes(self._buffer[HEAD.size : HEAD.size + length])))
            del self._buffer[: HEAD.size + length]
        return found


def pack(job: int, kind: int, payload: bytes = b"") -> bytes:
    """One host-broker frame."""
    return HEAD.pack(len(payload), job, kind) + payload


def encode(message: dict[str, Any]) -> bytes:
    """One host-fork message."""
    body = json.dumps(message, ensure_ascii=True).encode()
    return SIZE.pack(len(body)) + body


def receive(sock: socket.socket) -> dict[str, Any]:
    """The next host-fork message, inside the fork (the host is trusted there). Raises Closed."""
    (length,) = SIZE.unpack(exactly(sock, SIZE.size))
    message: dict[str, Any] = json.loads(exactly(sock, length))
    return message


def exactly(sock: socket.socket, count: int) -> bytes:
    """`count` bytes. Raises Closed."""
    data = bytearray()
    while len(data) < count:
        chunk = sock.recv(min(1 << 20, count - len(data)))
        if not chunk:
            raise Closed
        data += chunk
    return bytes(data)
