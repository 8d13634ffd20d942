"""Accepting submissions and finding them again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment
from core.ids import new_id, slug
from grader import intake
from grader.blobs import Blobs
from grader.database import Database
from grader.models import Feedback, Release, Score, Submission

STAMP = "%Y-%m-%d %H:%M:%S.%f UTC"
"""nbgrader's way to write a submission's time."""


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


class KeyReused(Exception):
    """An idempotency key came again with something else."""


def accept(
    database: Database,
    blobs: Blobs,
    arrived: tuple[Path, str, int],
    who: tuple[str, str, str],
    key: str,
    due: datetime | None,
    contents: intake.Contents,
) -> Submission:
    """Make a checked upload a submission: bytes first, then the row.

    `arrived` is path, SHA-256 and size; `who` is username, course, assignment. The same `key` of
    the same person gives the first submission again. Raises KeyReused.
    """
    path, sha256, size = arrived
    username, course, assignment = who
    received = now()
    blobs.keep(path, sha256)
    with database.write() as session:
        known = session.scalar(
            select(Submission).where(Submission.username == username, Submission.key == key)
        )
        if known is not None:
            if (known.course, known.assignment, known.sha256) != (course, assignment, sha256):
                raise KeyReused
            return known
        last = session.scalar(
            select(func.max(Submission.attempt)).where(
                Submission.username == username,
                Submission.course == course,
                Submission.assignment == assignment,
            )
        )
        submission = Submission(
            id=new_id("sub"),
            course=course,
            assignment=assignment,
            username=username,
            attempt=(last or 0) + 1,
            key=key,
            sha256=sha256,
            size=size,
            notebooks=contents.notebooks,
            received_at=received,
            late=due is not None and received > due,
        )
        session.add(submission)
    return submission


def newest_release(session: Session, course: str, assignment: str) -> Release | None:
    """The version that learners get now."""
    return session.scalar(
        select(Release)
        .where(Release.course == course, Release.assignment == assignment)
        .order_by(Release.version.desc())
        .limit(1)
    )


def of_person(
    session: Session, username: str, course: str, assignment: str = ""
) -> list[Submission]:
    """A person's own submissions, oldest first."""
    query = select(Submission).where(Submission.username == username, Submission.course == course)
    if assignment:
        query = query.where(Submission.assignment == assignment)
    return list(session.scalars(query.order_by(Submission.assignment, Submission.attempt)))


def latest(session: Session, course: str, assignment: str) -> list[Submission]:
    """Each learner's last attempt, by name."""
    last = (
        select(Submission.username, func.max(Submission.attempt).label("attempt"))
        .where(Submission.course == course, Submission.assignment == assignment)
        .group_by(Submission.username)
        .subquery()
    )
    query = (
        select(Submission)
        .join(
            last,
            (Submission.username == last.c.username) & (Submission.attempt == last.c.attempt),
        )
        .where(Submission.course == course, Submission.assignment == assignment)
        .order_by(Submission.username)
    )
    return list(session.scalars(query))


def scores_of(session: Session, submissions: Iterable[str]) -> dict[str, Score]:
    """The newest score of each submission that has one."""
    wanted = list(submissions)
    newest: dict[str, Score] = {}
    for start in range(0, len(wanted), 500):
        rows = session.scalars(
            select(Score)
            .where(Score.submission_id.in_(wanted[start : start + 500]))
            .order_by(Score.id)
        )
        newest.update((row.submission_id, row) for row in rows)
    return newest


def feedback_of(session: Session, submissions: Iterable[str]) -> dict[str, dict[str, str]]:
    """Released feedback: submission to notebook to blob."""
    found: dict[str, dict[str, str]] = {}
    wanted = list(submissions)
    for start in range(0, len(wanted), 500):
        rows = session.scalars(
            select(Feedback).where(Feedback.submission_id.in_(wanted[start : start + 500]))
        )
        for row in rows:
            found.setdefault(row.submission_id, {})[row.notebook] = row.sha256
    return found


def is_open(assignment: Assignment, at: datetime) -> bool:
    """True once the assignment's release time has come."""
    return assignment.release is None or at >= assignment.release


def student_id(username: str) -> str:
    """The gradebook's id of a person: their name, made safe as a folder's where it is not."""
    return username if _PLAIN.fullmatch(username) else slug(username)
