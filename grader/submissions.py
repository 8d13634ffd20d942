"""Finding submissions and what belongs to them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.ids import slug
from grader import audit
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


def note_read(database: Database, submission: Submission, reader: str) -> None:
    """Keep that somebody else took what a learner handed in."""
    if reader != submission.username:
        with database.write() as session:
            scope = f"{submission.course}/{submission.cohort}"
            audit.note(session, reader, "submission.read", scope, submission.username)


def of_person(
    session: Session, username: str, course: str, cohort: str, assignment: str = ""
) -> list[Submission]:
    """A person's own submissions in a cohort, oldest first.

    Those whose cohort is not known are among them: they are nobody else's.
    """
    query = select(Submission).where(
        Submission.username == username,
        Submission.course == course,
        Submission.cohort.in_((cohort, "")),
    )
    if assignment:
        query = query.where(Submission.assignment == assignment)
    order = (Submission.assignment, Submission.cohort, Submission.attempt)
    return list(session.scalars(query.order_by(*order)))


def of_class(
    session: Session, course: str, assignment: str, *, cohort: str | None
) -> list[Submission]:
    """Every attempt of a cohort, by name, oldest first; `cohort` None: of all cohorts."""
    query = select(Submission).where(
        Submission.course == course, Submission.assignment == assignment
    )
    if cohort is not None:
        query = query.where(Submission.cohort == cohort)
    order = (Submission.username, Submission.cohort, Submission.attempt)
    return list(session.scalars(query.order_by(*order)))


def latest(
    session: Session, course: str, assignment: str, *, cohort: str | None
) -> list[Submission]:
    """Each learner's last attempt in a cohort, by name; `cohort` None: in each of all cohorts."""
    attempts = of_class(session, course, assignment, cohort=cohort)
    return list({(a.username, a.cohort): a for a in attempts}.values())


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
            Submission.cohort == submission.cohort,
            Submission.assignment == submission.assignment,
            Submission.username == submission.username,
            Submission.attempt > submission.attempt,
        )
        .limit(1)
    )


def student_id(username: str) -> str:
    """The gradebook's id of a person: their name, made safe as a folder's where it is not."""
    return username if _PLAIN.fullmatch(username) else slug(username)
