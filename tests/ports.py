"""Ports for servers that tests start."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, suppress

_BELOW = range(15_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections: one of those would hold a port in
the seconds between its choice here and its server's start."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, each another one."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("0.0.0.0", secrets.choice(_BELOW)))
                found.append(int(probe.getsockname()[1]))
        return found
