"""Making a checked upload a submission: bytes first, then the row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment
from core.ids import new_id
from grader import dates, intake, jobs
from grader.blobs import Blobs
from grader.models import Submission
from store.database import Database


class KeyReused(Exception):
    """An idempotency key came again with something else."""


class Closed(Exception):
    """The assignment takes nothing any more."""


class NoMoreAttempts(Exception):
    """All attempts are used up."""


class NoRoom(Exception):
    """The learner's share of storage is used up; the numbers are bytes: needed, left, in all."""


@dataclass(frozen=True)
class Work:
    """Whose work on what: who hands in, in which cohort of the course."""

    username: str
    course: str
    cohort: str
    assignment: Assignment


@dataclass(frozen=True)
class Arrived:
    """A checked upload that is no blob yet; `size` in bytes."""

    path: Path
    sha256: str
    size: int
    contents: intake.Contents


def accept(
    database: Database, blobs: Blobs, work: Work, key: str, arrived: Arrived, quota: int
) -> Submission:
    """Make an upload a submission: bytes first, then the row.

    The same `key` of the same person gives the first submission again. `quota` in bytes is what
    one person may store. Rules and the attempts so far are read in the transaction that writes, so
    that of two at once each counts. Raises KeyReused, Closed, NoMoreAttempts, NoRoom.
    """
    received = now()
    blobs.keep(arrived.path, arrived.sha256)
    with database.write(alone_for=work.username) as session:
        known = _of_key(session, work, key, arrived.sha256)
        if known is not None:
            return known
        when, made = _check(session, work, received, arrived.size, quota)
        submission = Submission(
            id=new_id("sub"),
            course=work.course,
            cohort=work.cohort,
            assignment=work.assignment.id,
            username=work.username,
            attempt=made + 1,
            key=key,
            sha256=arrived.sha256,
            size=arrived.size,
            notebooks=arrived.contents.notebooks,
            received_at=received,
            late=when.seconds_late(received) > 0,
        )
        session.add(submission)
        session.flush()
        if work.assignment.autograde:
            target = (work.course, work.assignment.id, submission.id)
            jobs.add(session, "grade", target, work.username, cohort=work.cohort)
    return submission


def check(database: Database, work: Work, size: int, quota: int) -> None:
    """Raise what `accept` would raise now for a new upload of `size` bytes."""
    with database.read() as session:
        _check(session, work, now(), size, quota)


def _of_key(session: Session, work: Work, key: str, sha256: str) -> Submission | None:
    known = session.scalar(
        select(Submission).where(Submission.username == work.username, Submission.key == key)
    )
    if known is None:
        return None
    same = (work.course, work.assignment.id, sha256)
    if (known.course, known.assignment, known.sha256) != same:
        raise KeyReused
    return known


def _so_far(session: Session, work: Work) -> tuple[int, int]:
    """Attempts at this work, and bytes of everything that the person handed in."""
    this_work = and_(
        Submission.course == work.course,
        Submission.cohort.in_((work.cohort, "")),
        Submission.assignment == work.assignment.id,
    )
    attempts, used = session.execute(
        select(func.max(case((this_work, Submission.attempt))), func.sum(Submission.size)).where(
            Submission.username == work.username
        )
    ).one()
    return int(attempts or 0), int(used or 0)


def _check(
    session: Session, work: Work, received: datetime, size: int, quota: int
) -> tuple[dates.When, int]:
    """The rules that hold, and the attempts so far. Raises Closed, NoMoreAttempts, NoRoom."""
    made, used = _so_far(session, work)
    when = dates.of(session, work.course, work.cohort, work.assignment, work.username)
    if when.close is not None and received > when.close:
        raise Closed
    if when.attempts is not None and made >= when.attempts:
        raise NoMoreAttempts
    if used + size > quota:
        raise NoRoom(size, max(quota - used, 0), quota)
    return when, made
