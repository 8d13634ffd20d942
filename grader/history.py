"""What happened to one submission, in order: for its instructor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from grader import labels
from grader.models import Feedback, Job, Mark, Score, Submission
from web import formats
from web.i18n import gettext as _


@dataclass(frozen=True)
class Event:
    """One line of the log."""

    at: datetime
    what: str
    who: str = ""
    detail: str = ""
    kind: str = "secondary"
    """Badge: secondary, success, warning or danger."""


def of(session: Session, submission: Submission) -> list[Event]:
    """The newest first."""
    found = [Event(submission.received_at, _("Received"), submission.username)]
    own = Job.submission_id == submission.id
    for job in session.scalars(select(Job).where(own)):
        found += _of_job(job)
    for score in session.scalars(select(Score).where(Score.submission_id == submission.id)):
        points = f"{formats.number(score.score, 1)} / {formats.number(score.max_score, 1)}"
        found.append(Event(score.graded_at, _("Score"), "", points, "success"))
    for mark in session.scalars(select(Mark).where(Mark.submission_id == submission.id)):
        points = _("what the tests gave") if mark.points is None else formats.number(mark.points, 2)
        detail = f"{mark.cell}: {points}" + (f" – {mark.comment}" if mark.comment else "")
        found.append(Event(mark.given_at, _("Graded by hand"), mark.given_by, detail))
    for page in session.scalars(select(Feedback).where(Feedback.submission_id == submission.id)):
        at, by = page.released_at, page.released_by
        found.append(Event(at, _("Feedback released"), by, page.notebook, "success"))
    return sorted(found, key=lambda one: one.at, reverse=True)


def _of_job(job: Job) -> list[Event]:
    asked = _("Grading asked for") if job.kind == "grade" else _("New score asked for")
    found = [Event(job.created_at, asked, job.requested_by)]
    why = labels.why(job.reason)
    tries = _("try %(number)s") % {"number": job.tries}
    if job.state == "parked" and job.finished_at is not None:
        found.append(Event(job.finished_at, _("Given up"), "", why, "danger"))
    elif job.reason:
        found.append(Event(job.not_before, _("Failed, tried again"), tries, why, "warning"))
    if job.state == "running":
        found.append(Event(job.not_before, _("Running now"), tries, "", "warning"))
    return found
