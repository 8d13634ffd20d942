"""The class as several viewers see it at once: asked for by many, gathered every few seconds."""

from __future__ import annotations

import asyncio
import logging
import time

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from core import log
from usage import views
from usage.classroom import roll
from usage.classroom.coursework import Coursework, Progress
from usage.classroom.roll import Roll
from usage.hub import Hub, HubDown, Server
from usage.refusals import No
from usage.service import Usage

_LOG = logging.getLogger("usage")

ROLL_SECONDS = 1.0
HUB_SECONDS = 2.0
"""The Hub writes a list of everybody's labs for one question: not for each viewer."""


class Board:
    """One per service."""

    def __init__(self, usage: Usage, hub: Hub, coursework: Coursework) -> None:
        self._usage = usage
        self._hub = hub
        self._coursework = coursework
        self._servers: tuple[float, dict[str, Server] | None] = (-HUB_SECONDS, None)
        self._rolls: dict[str, tuple[float, Roll]] = {}
        self._asking = asyncio.Lock()

    async def progress(self, course: str, cohort: str) -> Progress | None:
        """Everybody's coursework; None when nothing can be said now."""
        return await self._coursework.progress(course, cohort)

    async def roll(self, cohort: str) -> Roll:
        """The class, at most `ROLL_SECONDS` old. 404 for an unknown cohort."""
        async with self._asking:
            at, found = self._rolls.get(cohort, (-ROLL_SECONDS, None))
            if found is None or time.monotonic() - at >= ROLL_SECONDS:
                servers = await self._all_servers()
                found = await run_in_threadpool(self._gather, cohort, servers)
                self._rolls[cohort] = (time.monotonic(), found)
            return found

    def forget(self) -> None:
        """Something was just changed: the next look is a fresh one."""
        self._rolls.clear()
        self._servers = (-HUB_SECONDS, None)

    async def _all_servers(self) -> dict[str, Server] | None:
        at, found = self._servers
        if time.monotonic() - at >= HUB_SECONDS:
            try:
                found = await self._hub.all_servers()
            except HubDown as error:
                log.event(_LOG, "labs not known", error=str(error))
                found = None
            self._servers = (time.monotonic(), found)
        return found

    def _gather(self, cohort: str, servers: dict[str, Server] | None) -> Roll:
        with self._usage.database.read() as session:
            try:
                row = views.cohort(session, cohort)
            except No:
                raise HTTPException(404) from None
            return roll.gather(session, row, servers, self._usage.rules, self._usage.clock)
