"""Work that comes round, each at its own pace, so that a slow one delays no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_log = logging.getLogger("labs.agent")


class Every:
    """Something that happens every `every_s` seconds in the pool, never twice at once."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        every_s: float,
        work: Callable[[], None],
        sooner: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pool = pool
        self._every_s = every_s
        self._work = work
        self._sooner = sooner
        self._next = 0.0
        self._running: Future[None] | None = None

    def maybe(self) -> None:
        """Start it when it is due and the last one is over; log what the last one raised."""
        if self._running is not None:
            if not self._running.done():
                return
            error = self._running.exception()
            self._running = None
            if error is not None:
                _log.error("agent: a turn failed", exc_info=error)
        now = time.monotonic()
        if now < self._next and not (self._sooner() and now >= self._next - self._every_s + 1):
            return
        self._next = now + self._every_s
        self._running = self._pool.submit(self._work)
