"""Scores of an assignment: rows for pages and the command line, and nbgrader's CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.course import Course
from grader.models import Feedback, Job, Score, Submission
from grader.submissions import STAMP, latest, scores_of

HEADER = [
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
]
"""nbgrader's export, column by column."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One learner's last attempt."""

    submission: Submission
    score: Score | None
    job: Job | None
    """The newest grading job."""
    released: datetime | None
    """When feedback on this attempt was released."""

    released_score: int | None = None
    """The score that the feedback shows."""

    @property
    def state(self) -> str:
        """waiting, grading, failed, manual, graded or released."""
        if self.job is not None and self.job.state in ("queued", "running"):
            return "grading"
        if self.job is not None and self.job.state == "parked":
            return "failed"
        if self.score is None:
            return "waiting"
        if self.released is not None and self.released_score == self.score.id:
            return "released"
        return "manual" if self.score.needs_manual else "graded"


def rows(session: Session, course: str, assignment: str, *, cohort: str | None) -> list[Row]:
    """Each learner's last attempt, by name; `cohort` None: of all cohorts."""
    attempts = latest(session, course, assignment, cohort=cohort)
    ids = [a.id for a in attempts]
    scores = scores_of(session, ids)
    jobs: dict[str, Job] = {}
    released: dict[str, Feedback] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        for job in session.scalars(
            select(Job)
            .where(Job.kind == "grade", Job.submission_id.in_(part))
            .order_by(Job.created_at, Job.id)
        ):
            jobs[job.submission_id] = job
        for page in session.scalars(select(Feedback).where(Feedback.submission_id.in_(part))):
            released[page.submission_id] = page
    found = []
    for a in attempts:
        shown = released.get(a.id)
        when, which = (shown.released_at, shown.score_id) if shown else (None, None)
        found.append(Row(a, scores.get(a.id), jobs.get(a.id), when, which))
    return found


def export(session: Session, course: Course, *, cohort: str | None) -> str:
    """All assignments as CSV with nbgrader's header. No cell can become a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for assignment in course.assignments:
        due = assignment.due.strftime(STAMP) if assignment.due else ""
        for row in rows(session, course.id, assignment.id, cohort=cohort):
            score = row.score
            numbers = (
                [score.raw_score, score.late_penalty, score.score, score.max_score]
                if score
                else ["", "", "", ""]
            )
            stamp = row.submission.received_at.strftime(STAMP)
            name = row.submission.username
            texts = [assignment.id, due, stamp, name, "", "", ""]
            writer.writerow([*map(harmless, texts), *numbers])
    return out.getvalue()


def harmless(text: str) -> str:
    """`text` as a spreadsheet shows it, never as it computes it."""
    return f"'{text}" if text.startswith(_FORMULA) else text
