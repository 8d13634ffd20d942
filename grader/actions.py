"""What instructors start, from pages, labs and the command line alike: each becomes jobs."""

from __future__ import annotations

from typing import Literal

from fastapi import HTTPException

from grader import jobs
from grader.desk import Desk
from grader.submissions import newest_release
from web.i18n import gettext as _

Action = Literal["publish", "grade", "release-feedback"]


def start(
    desk: Desk, course: str, assignment: str, action: Action, by: str, again: bool = False
) -> dict[str, str]:
    """Queue the work; ``{"job", "batch"}`` to follow it (`job` is empty for grading)."""
    desk.assignment(course, assignment)
    with desk.database.write() as session:
        if action == "publish":
            job = jobs.ask(session, "publish", (course, assignment, ""), by)
            return {"job": job.id, "batch": job.batch}
        if newest_release(session, course, assignment) is None:
            raise HTTPException(409, _("This assignment is not published yet. Publish it first."))
        if action == "release-feedback":
            job = jobs.ask(session, "feedback", (course, assignment, ""), by)
            return {"job": job.id, "batch": job.batch}
        return {"job": "", "batch": jobs.grade_all(session, course, assignment, by, again)}
