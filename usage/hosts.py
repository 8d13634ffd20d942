"""What the agents last said of their hosts, kept in memory: they say it with each heartbeat."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from core.wire import StrayProcess

STALE_MS = 120_000
"""What a host has not said again for so long is not shown any more."""


@dataclass(frozen=True)
class Stray:
    """One of them, where and since when (ms ago)."""

    host: str
    process: StrayProcess
    since_ms: int


class Strays:
    """By host. Thread-safe. Times are milliseconds of the boot clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, tuple[int, dict[StrayProcess, int]]] = {}

    def note(self, host: str, told: Sequence[StrayProcess], now_ms: int) -> list[StrayProcess]:
        """Take a host's word; those that are new."""
        with self._lock:
            _, before = self._hosts.get(host, (0, {}))
            same = {_key(one): since for one, since in before.items()}
            self._hosts[host] = (now_ms, {one: same.get(_key(one), now_ms) for one in told})
        return [one for one in told if _key(one) not in same]

    def all(self, now_ms: int) -> list[Stray]:
        """Every one that was told lately, by host and GPU."""
        with self._lock:
            found = [
                Stray(host, one, now_ms - since)
                for host, (at, those) in self._hosts.items()
                if now_ms - at < STALE_MS
                for one, since in those.items()
            ]
        return sorted(found, key=lambda s: (s.host, s.process.gpu, s.process.pid))


@dataclass(frozen=True)
class Beat:
    """A host's last report: when (ms of the boot clock), how many labs, how many reports so far,
    and the boot of the host that it came from."""

    at_ms: int
    labs: int
    count: int
    boot_id: str


class Beats:
    """By host. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, Beat] = {}

    def note(self, host: str, labs: int, now_ms: int, boot_id: str) -> None:
        """A report came."""
        with self._lock:
            before = self._hosts.get(host)
            self._hosts[host] = Beat(now_ms, labs, before.count + 1 if before else 1, boot_id)

    def same_boot(self, host: str, boot_id: str) -> bool:
        """False when the host's last report came from another boot, or from another machine."""
        with self._lock:
            before = self._hosts.get(host)
        return before is None or before.boot_id == boot_id

    def all(self) -> dict[str, Beat]:
        """Every host that reported since the service began."""
        with self._lock:
            return dict(self._hosts)


def _key(one: StrayProcess) -> tuple[str, int]:
    return one.device, one.pid
