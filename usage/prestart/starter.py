"""Starts labs before their learners come, a few at a time, and returns what nobody opened.

The rows say what is to be done, so the service may die at any point and go on where it was. A
start that was under way then is looked up at the Hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import log
from core.course import Course, Lab
from core.wire import GpuNeed, ReserveRequest
from store.columns import flag
from usage import leases, waiting
from usage.hub import Hub, HubDown, Server
from usage.leases import until
from usage.models import LeaseRow
from usage.prestart import rows
from usage.prestart.models import Prestart
from usage.refusals import No
from usage.service import Usage

_log = logging.getLogger("usage")

TICK_SECONDS = 1.0
NO_SERVER = "start_failed"


@dataclass(frozen=True)
class Wanted:
    """One lab to start now."""

    id: int
    username: str
    options: dict[str, str]


class Starter:
    """A background task of the service. `language`: of labs whose learner never started one."""

    def __init__(
        self, usage: Usage, hub: Hub, courses: Mapping[str, Course], language: str
    ) -> None:
        self._usage = usage
        self._hub = hub
        self._courses = courses
        self._language = language

    async def run(self) -> None:
        """Tick for ever. A failed tick is logged and the next one tries again."""
        while True:
            try:
                await self.tick()
            except HubDown as error:
                log.event(_log, "prestart waits for the hub", error=str(error))
            except Exception:
                _log.exception("a tick of the prestarts failed")
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """See how the starts under way go, begin the next ones, return what is late. HubDown."""
        if not await asyncio.to_thread(self._anything):
            return
        for row in await asyncio.to_thread(self._under_way):
            await self._follow(row)
        wanted = await asyncio.to_thread(self._next)
        await asyncio.gather(*(self._start(one) for one in wanted))

    # -- what is to be done ------------------------------------------------------------------------

    def _anything(self) -> bool:
        usage = self._usage
        with usage.database.read() as session:
            if session.scalar(select(Prestart.id).where(flag(Prestart.open)).limit(1)) is not None:
                return True
            return bool(rows.due_windows(session, usage.rules, usage.clock))

    def _under_way(self) -> list[Prestart]:
        """Rows to be looked up at the Hub: asked ones, and ready ones without lease."""
        usage = self._usage
        with usage.database.write() as session:
            rows.note_ends(session, usage.clock)
            ready = [r for r in rows.going_on(session, "ready") if r.lease_id is None]
            return rows.going_on(session, "asked") + ready

    def _next(self) -> list[Wanted]:
        """The labs to start now: as many as the throttle and the free GPUs allow."""
        usage = self._usage
        with usage.database.write() as session:
            for window in rows.open_windows(session, usage.rules, usage.clock):
                log.event(_log, "prestart begins", window=window)
            room = usage.rules.prestart_at_once - len(rows.going_on(session, "asked"))
            wanted: list[Wanted] = []
            full: set[tuple[str, str, str]] = set()
            for row in rows.going_on(session, "waiting"):
                kind = (row.cohort_id, row.course, row.lab)
                if until(row.return_at, usage.clock) <= 0:
                    rows.close(row, "skipped", usage.clock)
                elif len(wanted) < room and kind not in full:
                    try:
                        wanted.append(self._wanted(session, row))
                    except _Full:
                        full.add(kind)
                    except No as no:
                        rows.close(row, "failed", usage.clock, no.code)
            return wanted

    def _wanted(self, session: Session, row: Prestart) -> Wanted:
        """The start for this row. Raises No, or _Full when it has to wait for a GPU."""
        course = self._courses.get(row.course)
        lab = course.lab(row.lab) if course else None
        if lab is None:
            raise No("lab_unknown")
        language = self._language_of(session, row.username)
        gpu = lab.gpu.need != "none"
        if gpu:
            self._check(session, row, lab, language)
        else:
            leases.check_enrolment(
                session, row.cohort_id, row.username, row.course, self._usage.clock
            )
        options = {
            "course": row.course,
            "lab": row.lab,
            "cohort": row.cohort_id,
            "gpu": "yes" if gpu else "no",
            "language": language,
        }
        return Wanted(row.id, row.username, options)

    def _check(self, session: Session, row: Prestart, lab: Lab, language: str) -> None:
        usage = self._usage
        need = GpuNeed(lab.gpu.isolation, lab.gpu.memory_mb, lab.gpu.count)
        ask = ReserveRequest(
            "", row.username, row.cohort_id, row.course, row.lab, need, language=language
        )
        kept = waiting.kept_from(session, waiting.line(session), ask, usage.rules, usage.clock)
        try:
            leases.check_place(session, ask, usage.clock, kept.slots, kept.labs)
        except No as no:
            if no.code in waiting.QUEUE_CODES:
                raise _Full from no
            raise

    def _language_of(self, session: Session, username: str) -> str:
        """Of the person's last GPU lab, else the site's."""
        last = select(LeaseRow.language).where(LeaseRow.username == username)
        found = session.scalar(last.order_by(LeaseRow.created_at.desc()).limit(1))
        return str(found or self._language)

    # -- with the Hub ------------------------------------------------------------------------------

    async def _start(self, one: Wanted) -> None:
        if await self._hub.server(one.username) is not None:
            await asyncio.to_thread(self._put, one.id, "skipped")
            return
        await asyncio.to_thread(self._put, one.id, "asked")
        try:
            began = await self._hub.start(one.username, one.options)
        except HubDown:
            await asyncio.to_thread(self._put, one.id, "waiting")
            raise
        if not began:
            await asyncio.to_thread(self._put, one.id, "skipped")
        log.event(_log, "prestart asked", person=one.username, lab=one.options["lab"])

    async def _follow(self, row: Prestart) -> None:
        """Note how a start went; return a lab without GPU whose grace is over."""
        server = await self._hub.server(row.username)
        late = until(row.return_at, self._usage.clock) <= 0
        if row.state == "ready":
            if server is None or not _is(server, row):
                await asyncio.to_thread(self._put, row.id, "returned")
            elif late:
                await self._hub.stop(row.username)
                await asyncio.to_thread(self._put, row.id, "returned")
                log.event(_log, "prestart returned", person=row.username)
        elif server is None or rows.asked_for_ms(row, self._usage.clock) > self._longest:
            await asyncio.to_thread(self._put, row.id, "failed", NO_SERVER)
        elif server.state == "ready":
            await asyncio.to_thread(self._put, row.id, "ready")

    @property
    def _longest(self) -> int:
        return self._usage.rules.start_timeout_ms

    def _put(self, row_id: int, state: str, detail: str = "") -> None:
        """Change a row unless it was closed meanwhile (its learner was quicker)."""
        clock = self._usage.clock
        with self._usage.database.write() as session:
            row = session.get_one(Prestart, row_id)
            if not row.open:
                return
            if state == "asked":
                rows.asked(row, clock)
            elif state in ("waiting", "ready"):
                row.state = state
            else:
                rows.close(row, state, clock, detail)


class _Full(Exception):
    """No GPU is free for it now."""


def _is(server: Server, row: Prestart) -> bool:
    """The person's server is this row's lab."""
    return (server.options.get("course"), server.options.get("lab")) == (row.course, row.lab)
