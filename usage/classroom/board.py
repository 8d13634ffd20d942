"""The class as several viewers see it at once: asked for by many, gathered once a second."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from usage import views
from usage.classroom import roll
from usage.classroom.coursework import Coursework, Progress
from usage.classroom.roll import Roll
from usage.hub import Server
from usage.pulse import Pulse
from usage.refusals import No
from usage.service import Usage

ROLL_SECONDS = 1.0


class Board:
    """One per service."""

    def __init__(self, usage: Usage, pulse: Pulse, coursework: Coursework) -> None:
        self._usage = usage
        self._pulse = pulse
        self._coursework = coursework
        self._rolls: dict[str, tuple[float, Roll]] = {}
        self._one = asyncio.Lock()

    async def progress(self, course: str, cohort: str) -> Progress | None:
        """Everybody's coursework; None when nothing can be said now."""
        return await self._coursework.progress(course, cohort)

    async def roll(self, cohort: str) -> Roll:
        """The class, at most `ROLL_SECONDS` old. 404 for an unknown cohort."""
        look = await self._pulse.look()
        async with self._one:
            at, found = self._rolls.get(cohort, (-ROLL_SECONDS, None))
            if found is None or time.monotonic() - at >= ROLL_SECONDS:
                found = await run_in_threadpool(self._gather, cohort, look.servers)
                self._rolls[cohort] = (time.monotonic(), found)
            return found

    def forget(self) -> None:
        """Something was just changed: the next look is a fresh one."""
        self._rolls.clear()
        self._pulse.forget()

    def _gather(self, cohort: str, servers: dict[str, Server] | None) -> Roll:
        with self._usage.database.read() as session:
            try:
                row = views.cohort(session, cohort)
            except No:
                raise HTTPException(404) from None
            return roll.gather(session, row, servers, self._usage.rules, self._usage.clock)
