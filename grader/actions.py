"""What instructors start, from pages, labs and the command line alike: each becomes jobs."""

from __future__ import annotations

from typing import Literal

from fastapi import HTTPException
from sqlalchemy.orm import Session

from core.ids import new_id
from grader import audit, jobs
from grader.desk import Desk
from grader.models import Job, Submission
from grader.submissions import is_newest, latest, newest_release, scores_of
from web.i18n import gettext as _

Action = Literal["publish", "grade", "release-feedback"]


def start(
    desk: Desk,
    course: str,
    assignment: str,
    action: Action,
    by: str,
    again: bool = False,
    *,
    cohort: str | None,
) -> dict[str, str]:
    """Queue the work; ``{"job", "batch"}`` to follow it (`job` is empty for grading).

    Publishing is for the whole course; the rest for one `cohort`, or for all of them (None).
    """
    desk.assignment(course, assignment)
    with desk.database.write() as session:
        scope = f"{course}/{cohort}" if cohort and action != "publish" else course
        audit.note(session, by, f"assignment.{action}", scope, assignment, again=again)
        if action == "publish":
            job = jobs.ask(session, "publish", (course, assignment, ""), by)
            return {"job": job.id, "batch": job.batch}
        if newest_release(session, course, assignment) is None:
            raise HTTPException(409, _("This assignment is not published yet. Publish it first."))
        if action == "grade":
            batch = jobs.grade_all(session, course, assignment, by, again, cohort=cohort)
            return {"job": "", "batch": batch}
        batch = new_id("batch")
        for one in _cohorts(session, course, assignment) if cohort is None else [cohort]:
            job = jobs.ask(session, "feedback", (course, assignment, ""), by, batch, one)
        return {"job": job.id, "batch": batch}


def release_one(desk: Desk, submission: Submission, by: str) -> Job:
    """Queue the feedback of one learner's last attempt; 409 when it is not, or has no score."""
    with desk.database.write() as session:
        if not is_newest(session, submission):
            raise HTTPException(409, _("A newer attempt counts. Grade that one."))
        if submission.id not in scores_of(session, [submission.id]):
            raise HTTPException(409, _("Grade this submission first."))
        scope = f"{submission.course}/{submission.cohort}"
        audit.note(session, by, "assignment.release-feedback", scope, submission.username)
        target = (submission.course, submission.assignment, submission.id)
        return jobs.ask(session, "feedback", target, by)


def _cohorts(session: Session, course: str, assignment: str) -> list[str]:
    """Cohorts that handed something in; at least one, so that somebody is told when none did."""
    found = {s.cohort for s in latest(session, course, assignment, cohort=None)}
    return sorted(found) or [""]
