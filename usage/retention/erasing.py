"""Erasing people: over three services, each step again until it is done.

The order is: the Hub (no sign-in any more; account, home volume), the grader service, then this
one. A step that fails is tried again; its reason stands on the page meanwhile. At the end the name
is forgotten here, too: nobody can tell any more who a pseudonym was.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import log
from core.ids import new_id
from store.audit import PSEUDONYM
from usage import audit
from usage.classroom.coursework import Coursework, GraderDown
from usage.hub import Hub, HubDown
from usage.models import Cohort, Membership
from usage.retention import dates, person
from usage.retention.models import Erasure
from usage.service import Usage

_log = logging.getLogger("usage")

EVERY_SECONDS = 30.0
STEPS = ("hub", "grader", "usage")


class Eraser:
    """A background task of the service."""

    def __init__(
        self, usage: Usage, hub: Hub, coursework: Coursework, keep_days: int, announce_days: int
    ) -> None:
        """`keep_days`, `announce_days`: see core.settings.Usage."""
        self._keep_days = keep_days
        self._ahead = timedelta(days=announce_days)
        self._usage = usage
        self._hub = hub
        self._coursework = coursework
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something was asked for: do not wait."""
        self._wake.set()

    async def run(self) -> None:
        """For ever: announce and delete cohorts' data when it is time, and work open erasures off.
        What fails is logged and tried again."""
        while True:
            try:
                await asyncio.to_thread(self.look_at_cohorts)
                await self.work()
            except Exception:
                _log.exception("retention will be tried again")
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def work(self) -> None:
        """One try of every open erasure."""
        for erasure_id in await asyncio.to_thread(self._open):
            await self._one(erasure_id)

    def _open(self) -> list[str]:
        with self._usage.database.read() as session:
            query = select(Erasure.id).where(Erasure.finished_at.is_(None))
            return list(session.scalars(query.order_by(Erasure.created_at)))

    async def _one(self, erasure_id: str) -> None:
        row = await asyncio.to_thread(self._get, erasure_id)
        for step in STEPS:
            if step in row.done:
                continue
            try:
                if step == "hub":
                    await self._hub.delete(row.username)
                elif step == "grader":
                    await self._coursework.erase(row.username, row.pseudonym, row.asked_by)
                await asyncio.to_thread(self._finish, erasure_id, step)
            except (HubDown, GraderDown) as error:
                await asyncio.to_thread(self._note_problem, erasure_id, f"{step}: {error}")
                log.event(_log, "erasure waits", erasure=erasure_id, step=step, error=str(error))
                return

    def _get(self, erasure_id: str) -> Erasure:
        with self._usage.database.read() as session:
            return session.get_one(Erasure, erasure_id)

    def _finish(self, erasure_id: str, step: str) -> None:
        with self._usage.database.write() as session:
            row = session.get_one(Erasure, erasure_id)
            if step == STEPS[-1]:
                person.erase(session, row.username, row.pseudonym, self._usage.clock)
                row.username, row.finished_at = "", self._usage.clock.now()
            row.done, row.problem = [*row.done, step], ""
        log.event(_log, "erasure step done", erasure=erasure_id, step=step)

    def _note_problem(self, erasure_id: str, problem: str) -> None:
        with self._usage.database.write() as session:
            session.get_one(Erasure, erasure_id).problem = problem[:1000]

    # -- cohorts

    def look_at_cohorts(self) -> None:
        """Announce what will be deleted soon; delete what was announced for long enough."""
        with self._usage.database.write() as session:
            rows = session.scalars(select(Cohort).where(Cohort.data_deleted_at.is_(None))).all()
            for row in rows:
                self._look_at(session, row, self._keep_days, self._ahead)

    def _look_at(self, session: Session, row: Cohort, keep_days: int, ahead: timedelta) -> None:
        now = self._usage.clock.now()
        planned = dates.of(row, keep_days).at
        if planned is None or now < planned - ahead:
            row.deletion_announced_at = None
            return
        if row.deletion_announced_at is None:
            row.deletion_announced_at = now
            when = max(planned, now + ahead).isoformat()
            audit.note(
                session, self._usage.clock, audit.PLATFORM, "retention.announce", row.id, until=when
            )
        if now >= dates.due(row, keep_days, ahead):
            self._delete(session, row)

    def _delete(self, session: Session, row: Cohort) -> None:
        """Its people who are in no other cohort that is kept are erased; the others leave it."""
        now, reason = self._usage.clock.now(), f"cohort {row.id}"
        members = session.scalars(select(Membership).where(Membership.cohort_id == row.id)).all()
        count = 0
        for member in members:
            member.removed_at = member.removed_at or now
            if member.username.startswith(PSEUDONYM) or _is_elsewhere(session, member):
                continue
            count += ask(session, self._usage, member.username, audit.PLATFORM, reason)
        dates.forget(session, row)
        row.data_deleted_at = now
        clock = self._usage.clock
        audit.note(session, clock, audit.PLATFORM, "retention.delete", row.id, people=count)


def _is_elsewhere(session: Session, member: Membership) -> bool:
    """Whether the person is in another cohort whose data is kept."""
    query = (
        select(Cohort.id)
        .join(Membership, Membership.cohort_id == Cohort.id)
        .where(
            Membership.username == member.username,
            Cohort.id != member.cohort_id,
            Cohort.data_deleted_at.is_(None),
        )
    )
    return session.scalar(query.limit(1)) is not None


def ask(session: Session, usage: Usage, username: str, actor: str, reason: str) -> bool:
    """Have a person erased; False when that is under way already. Work begins with the next look
    (or `Eraser.wake`)."""
    known = select(Erasure.id).where(Erasure.username == username)
    if session.scalar(known) is not None:
        return False
    row = Erasure(
        id=new_id("erasure"),
        username=username,
        pseudonym=person.new_pseudonym(),
        asked_by=actor,
        reason=reason[:1000],
        created_at=usage.clock.now(),
        done=[],
        problem="",
    )
    session.add(row)
    audit.note(session, usage.clock, actor, "person.erase", "", username, reason)
    return True
