"""What the service does by itself, and ``python -m grader.upkeep`` at once.

Coursework from before cohorts were kept is put into its learner's cohort, when there is but one
that takes the course; until then only admins see it. Blobs that no row names are removed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import JSON, Column, String, Text, cast, select, union, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core import log, settings
from core.course import CourseError
from core.log import event
from core.wire import Enrolment
from grader import material
from grader.access import AccessUnknown
from grader.blobs import Blobs, Swept
from grader.desk import Desk
from grader.models import Base, Certificate, Dates, Job, Submission
from store.database import Database

_LOG = logging.getLogger("grader.upkeep")
_RETRY_SECONDS = 20
"""Until the usage service answers for the first time."""
_SETTLE_SECONDS = 600
_LOOK_SECONDS = 3.0
_SWEEP_SECONDS = 6 * 3600
_Placed = Submission | Certificate | Dates
_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


async def run(desk: Desk) -> None:
    """Until it is cancelled."""
    await asyncio.gather(_chores(desk), _build_material(desk))


async def _build_material(desk: Desk) -> None:
    """What labs mount, whenever a course came or changed."""
    built = desk.courses.version
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        len(desk.courses)  # has it look
        if desk.courses.version == built:
            continue
        built = desk.courses.version
        try:
            courses = list(desk.courses.values())
            await asyncio.to_thread(material.build_these, courses, desk.settings.state_dir)
        except (CourseError, OSError) as error:
            event(_LOG, "course material not built", reason=str(error))


async def _chores(desk: Desk) -> None:
    next_sweep = time.monotonic()
    while True:
        pause = _SETTLE_SECONDS
        try:
            await asyncio.to_thread(settle_cohorts, desk.database, desk.access.places)
            if time.monotonic() >= next_sweep:
                next_sweep = time.monotonic() + _SWEEP_SECONDS
                await asyncio.to_thread(sweep, desk.database, desk.blobs)
        except AccessUnknown:
            pause = _RETRY_SECONDS
        except (OperationalError, OSError):
            _LOG.exception("upkeep will be tried again")
        await asyncio.sleep(pause)


def sweep(database: Database, blobs: Blobs) -> Swept:
    """Remove blobs that no row names."""
    begun = time.time()
    with database.read() as session:
        named = named_blobs(session)
    swept = blobs.sweep(named, begun)
    event(_LOG, "blobs swept", removed=swept.removed, bytes=swept.bytes)
    for name in sorted(swept.missing):
        event(_LOG, "blob missing", sha256=name)
    return swept


def named_blobs(session: Session) -> set[str]:
    """Every SHA-256 that stands anywhere in a column of hashes or of JSON, of any table.

    Whatever looks like a blob's name keeps that blob: a column that is added later is covered.
    """
    found: set[str] = set()
    for table in Base.metadata.tables.values():
        for column in table.columns:
            kind = column.type
            if isinstance(kind, JSON) or (isinstance(kind, String) and kind.length == 64):
                found.update(_hashes(session, column))
    return found


def _hashes(session: Session, column: Column[object]) -> Iterable[str]:
    text = cast(column, Text if isinstance(column.type, JSON) else String)
    for value in session.scalars(select(text).execution_options(yield_per=1000)):
        yield from _HASH.findall(value or "")


def settle_cohorts(database: Database, places: Callable[[str], list[Enrolment]]) -> int:
    """Put coursework without a cohort into its learner's; the number of people and courses that
    were settled. `places` raises AccessUnknown."""
    with database.read() as session:
        pairs = session.execute(
            union(
                select(Submission.course, Submission.username).where(Submission.cohort == ""),
                select(Certificate.course, Certificate.username).where(Certificate.cohort == ""),
                select(Dates.course, Dates.username).where(
                    Dates.cohort == "", Dates.username != ""
                ),
            )
        ).all()
    settled = 0
    for course, username in pairs:
        cohorts = {p.cohort for p in places(username) if course in p.courses}
        if len(cohorts) == 1:
            with database.write() as session:
                _settle(session, course, username, cohorts.pop())
            settled += 1
    if settled:
        event(_LOG, "coursework put into cohorts", settled=settled, of=len(pairs))
    return settled


def _settle(session: Session, course: str, username: str, cohort: str) -> None:
    own = select(Submission.id).where(
        Submission.course == course, Submission.username == username, Submission.cohort == ""
    )
    session.execute(update(Job).where(Job.submission_id.in_(own)).values(cohort=cohort))
    kinds: tuple[type[_Placed], ...] = (Submission, Certificate, Dates)
    for table in kinds:
        query = select(table).where(
            table.course == course, table.username == username, table.cohort == ""
        )
        rows: Sequence[Any] = session.scalars(query).all()
        for row in rows:
            if not _taken(session, row, cohort):
                row.cohort = cohort
        session.flush()


def _taken(session: Session, row: _Placed, cohort: str) -> bool:
    """Something newer stands in its place: certificates and rules given since. They win."""
    if isinstance(row, Submission):
        return False  # attempts are counted on from those without a cohort
    kind = type(row)
    query = select(kind.id).where(
        kind.course == row.course, kind.cohort == cohort, kind.username == row.username
    )
    if isinstance(row, Dates):
        query = query.where(Dates.assignment == row.assignment)
    return session.scalar(query.limit(1)) is not None


def main() -> None:
    """Once, now."""
    log.setup()
    desk = Desk(settings.load())
    try:
        settle_cohorts(desk.database, desk.access.places)
    except AccessUnknown as error:
        event(_LOG, "cohorts not settled", reason=str(error))
    swept = sweep(desk.database, desk.blobs)
    print(f"{swept.removed} blobs removed, {swept.bytes} bytes, {len(swept.missing)} missing")


if __name__ == "__main__":
    main()
