"""Since when each lab leaves its GPUs alone, and which processes hold a GPU without a lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import pynvml

from core.log import event
from core.wire import StrayProcess
from labs import gpus
from labs.watch import Watched

_log = logging.getLogger("labs.agent")

STRAY_MS = 5_000
"""A process counts as a stray when it was one for so long: a lab may be newer than the last look
at Docker."""
AGAIN_MS = 60_000
"""So long after a look that found no NVML, or a broken one, comes the next."""


class GpuWatch:
    """What looks once a second have shown. Times are milliseconds of the boot clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quiet_since: dict[str, int] = {}
        self._strays: dict[tuple[str, int], tuple[int, StrayProcess]] = {}
        self._next_ms = 0

    def look(self, labs: Iterable[Watched], now_ms: int) -> None:
        """Look at the GPUs. A GPU that cannot be looked at is unknown, not quiet."""
        if now_ms < self._next_ms:
            return
        try:
            devices = gpus.read()
        except pynvml.NVMLError as error:
            event(_log, "gpus not readable", error=str(error))
            devices = None
        if devices is None:
            self._next_ms = now_ms + AGAIN_MS
            self._note({}, {}, now_ms)
            return
        pids = {one.pid for device in devices for one in device.processes or ()}
        whose = {pid: found for pid in pids if (found := gpus.container_of(pid)) is not None}
        leased = {lab.container_id: frozenset(lab.devices) for lab in labs if lab.lease_id}
        seen = {device.id: device for device in devices}
        quiet = {c: now_ms for c, mine in leased.items() if gpus.quiet(mine, c, seen, whose)}
        strays = {
            (device.id, one.pid): gpus.as_stray(device, one, why, whose[one.pid])
            for device, one, why in gpus.strays(devices, whose, leased)
        }
        self._note(quiet, strays, now_ms)

    def _note(
        self, quiet: dict[str, int], strays: dict[tuple[str, int], StrayProcess], now_ms: int
    ) -> None:
        with self._lock:
            self._quiet_since = {c: self._quiet_since.get(c, now) for c, now in quiet.items()}
            before = self._strays
            self._strays = {k: (before.get(k, (now_ms,))[0], one) for k, one in strays.items()}

    def quiet_ms(self, container_id: str, now_ms: int) -> int | None:
        """For how long a lab is known to have left its GPUs alone; None: it uses them, or nobody
        knows."""
        with self._lock:
            since = self._quiet_since.get(container_id)
        return None if since is None else max(0, now_ms - since)

    def strays(self, now_ms: int) -> list[StrayProcess]:
        """Processes that have held a GPU without a lease for a while."""
        with self._lock:
            return [one for since, one in self._strays.values() if now_ms - since >= STRAY_MS]
