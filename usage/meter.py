"""The meter: once a second, stop through the Hub the labs whose grant is over.

The agent on each GPU host is the backstop, so a Hub that does not answer lets nobody run on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from core import log
from usage.hub import Hub, HubDown
from usage.service import Usage
from usage.stops import DueStop, is_its_server

_log = logging.getLogger("usage")

TICK_SECONDS = 1.0
RETRY_SECONDS = 5.0
_AT_ONCE = 16


class Meter:
    """A background task of the service."""

    def __init__(self, usage: Usage, hub: Hub, warned: Callable[[], None] = lambda: None) -> None:
        """`warned` is called when a warning was written, so that it need not be waited for."""
        self._usage = usage
        self._hub = hub
        self._warned = warned
        self._asked: dict[str, float] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.last_tick = time.monotonic()

    async def run(self) -> None:
        """Tick for ever. A failed tick is logged and the next one tries again."""
        while True:
            try:
                await self.tick()
            except Exception:
                _log.exception("the meter's tick failed")
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """One look at all leases. Stops run beside it: fifty at once must not wait in a row."""
        due = await asyncio.to_thread(self._usage.tick)
        self.last_tick = time.monotonic()
        if await asyncio.to_thread(self._usage.warn):
            self._warned()
        self._asked = {d.lease_id: self._asked.get(d.lease_id, 0.0) for d in due}
        for stop in due:
            if time.monotonic() - self._asked[stop.lease_id] >= RETRY_SECONDS:
                self._asked[stop.lease_id] = time.monotonic()
                task = asyncio.create_task(self._stop(stop))
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)

    async def _stop(self, stop: DueStop) -> None:
        async with self._slots:
            try:
                if not is_its_server(stop, await self._hub.server(stop.username)):
                    log.event(
                        _log,
                        "not the lab of this lease; left to the agent",
                        lease=stop.lease_id,
                        person=stop.username,
                    )
                    return
                await self._hub.stop(stop.username)
            except HubDown as error:
                log.event(
                    _log,
                    "stop not delivered; the agent will",
                    lease=stop.lease_id,
                    person=stop.username,
                    error=str(error),
                )
                return
        log.event(_log, "stop asked", lease=stop.lease_id, person=stop.username, reason=stop.reason)
