"""Making a checked upload a submission: bytes first, then the row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from core.clock import now
from core.ids import new_id
from grader import intake, jobs
from grader.blobs import Blobs
from grader.models import Submission
from store.database import Database


class KeyReused(Exception):
    """An idempotency key came again with something else."""


class Closed(Exception):
    """The assignment takes nothing any more."""


class NoMoreAttempts(Exception):
    """All attempts are used up."""


@dataclass(frozen=True)
class Rules:
    """What holds for one person's next submission to one assignment."""

    due: datetime | None = None
    close: datetime | None = None
    attempts: int | None = None
    autograde: bool = False

    def check(self, received: datetime, made: int) -> None:
        """Raises Closed, NoMoreAttempts."""
        if self.close is not None and received > self.close:
            raise Closed
        if self.attempts is not None and made >= self.attempts:
            raise NoMoreAttempts


def accept(
    database: Database,
    blobs: Blobs,
    arrived: tuple[Path, str, int],
    who: tuple[str, str, str],
    key: str,
    rules: Rules,
    contents: intake.Contents,
) -> Submission:
    """Make a checked upload a submission: bytes first, then the row.

    `arrived` is path, SHA-256 and size; `who` is username, course, assignment. The same `key` of
    the same person gives the first submission again. Raises KeyReused, Closed, NoMoreAttempts.
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
        rules.check(received, last or 0)
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
            late=rules.due is not None and received > rules.due,
        )
        session.add(submission)
        session.flush()
        if rules.autograde:
            jobs.ask(session, "grade", (course, assignment, submission.id), username)
    return submission
