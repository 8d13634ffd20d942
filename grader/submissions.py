"""Finding submissions and what belongs to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment
from core.ids import slug
from grader.models import Feedback, Fetch, Release, Score, Submission
from store.database import Database

STAMP = "%Y-%m-%d %H:%M:%S.%f UTC"
"""nbgrader's way to write a submission's time."""


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


def newest_release(session: Session, course: str, assignment: str) -> Release | None:
    """The version that learners get now."""
    return session.scalar(
        select(Release)
        .where(Release.course == course, Release.assignment == assignment)
        .order_by(Release.version.desc())
        .limit(1)
    )


def note_fetch(database: Database, release: Release, username: str) -> None:
    """Keep that `username` took this version, for the instructor's view of the class."""
    with database.write() as session:
        session.merge(
            Fetch(
                course=release.course,
                assignment=release.assignment,
                username=username,
                version=release.version,
                fetched_at=now(),
            )
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


def is_newest(session: Session, submission: Submission) -> bool:
    """True for the person's last attempt: the one whose grades count."""
    return not session.scalar(
        select(Submission.id)
        .where(
            Submission.course == submission.course,
            Submission.assignment == submission.assignment,
            Submission.username == submission.username,
            Submission.attempt > submission.attempt,
        )
        .limit(1)
    )


def is_open(assignment: Assignment, at: datetime) -> bool:
    """True once the assignment's release time has come."""
    return assignment.release is None or at >= assignment.release


def student_id(username: str) -> str:
    """The gradebook's id of a person: their name, made safe as a folder's where it is not."""
    return username if _PLAIN.fullmatch(username) else slug(username)
