"""Scores of an assignment: rows for pages and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from grader.models import Feedback, Job, Score, Submission
from grader.submissions import latest, scores_of


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
