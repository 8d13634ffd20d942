"""The API for labs: nbgrader's exchange. Who somebody is comes from the lab's token alone."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, HTTPException, Request
from sqlalchemy import select
from starlette.responses import FileResponse, Response

from core.clock import now
from core.course import Course
from core.log import event
from grader import accepting, actions, dates, intake, receipts, submissions
from grader.blobs import TooLarge
from grader.desk import AtDesk, Desk
from grader.models import Feedback, Job, Release, Submission
from web import i18n
from web.auth import Person, lab_token
from web.i18n import gettext as _

_LOG = logging.getLogger("grader")
router = APIRouter(prefix="/api/lab")
Lab = Annotated[Person, Depends(lab_token)]
_KEY = re.compile(r"[A-Za-z0-9_-]{8,100}")
_TAR_SLACK = 2_000_000
"""What tar's own headers and padding may add to the files' bytes."""


@router.get("/assignments")
def assignments(desk: AtDesk, person: Lab, course: str = "") -> list[dict[str, Any]]:
    """Published assignments of the person's courses, with their submissions."""
    access = desk.access_of(person)
    found = []
    for one in desk.courses.values():
        if course in ("", one.id) and access.may_learn(one.id):
            found += _published(desk, one, person.name)
    return found


@router.get("/courses/{course}/assignments/{assignment}/release")
def release(desk: AtDesk, person: Lab, course: str, assignment: str) -> FileResponse:
    """The published archive in the learner's language."""
    newest = _released(desk, person, course, assignment)
    submissions.note_fetch(desk.database, newest, person.name)
    sha256 = newest.archives.get(i18n.language(), newest.archives["en"])
    return FileResponse(
        desk.blobs.path(sha256),
        media_type="application/x-tar",
        headers={"ETag": f'"{sha256}"', "X-DLI-Version": str(newest.version)},
    )


@router.post("/courses/{course}/assignments/{assignment}/submissions")
async def submit(
    request: Request,
    desk: AtDesk,
    person: Lab,
    course: str,
    assignment: str,
    idempotency_key: Annotated[str, Header()] = "",
) -> dict[str, Any]:
    """Take a submission; the receipt comes back once bytes and row are on disk."""
    if not _KEY.fullmatch(idempotency_key):
        raise HTTPException(400, "the header Idempotency-Key must be 8 to 100 of A-Z a-z 0-9 _ -")
    await to_thread.run_sync(_released, desk, person, course, assignment)
    limits = desk.settings.grader
    most = limits.max_submission_mb * 1_000_000
    try:
        arrived = await desk.blobs.receive(request.stream(), most + _TAR_SLACK)
    except TooLarge:
        raise HTTPException(413, intake.too_large(most)) from None
    try:
        contents = await to_thread.run_sync(intake.check, arrived[0], most, limits.max_files)
        submission = await to_thread.run_sync(
            accepting.accept,
            desk.database,
            desk.blobs,
            arrived,
            (person.name, course, assignment),
            idempotency_key,
            await to_thread.run_sync(_rules, desk, person.name, course, assignment),
            contents,
        )
    except accepting.Closed:
        raise HTTPException(
            409, _("This assignment is closed. Ask your instructor for more time.")
        ) from None
    except accepting.NoMoreAttempts:
        raise HTTPException(
            409, _("You have used all attempts of this assignment. Ask your instructor.")
        ) from None
    except intake.Unacceptable as error:
        raise HTTPException(422, str(error)) from None
    except accepting.KeyReused:
        raise HTTPException(409, "this Idempotency-Key was used for something else") from None
    finally:
        arrived[0].unlink(missing_ok=True)
    event(_LOG, "submission accepted", submission=submission.id, person=person.name)
    return receipts.receipt(submission, desk.receipt_key)


@router.get("/courses/{course}/assignments/{assignment}/submissions")
def own_submissions(
    desk: AtDesk, person: Lab, course: str, assignment: str
) -> list[dict[str, Any]]:
    """The person's own submissions, oldest first."""
    desk.learner(person, course)
    return _submissions(desk, person.name, course, assignment)


@router.get("/submissions/{submission}/archive")
def archive(desk: AtDesk, person: Lab, submission: str) -> FileResponse:
    """What was handed in: for its owner and for instructors of the course."""
    with desk.database.read() as session:
        found = session.get(Submission, submission)
    if found is None or not (
        found.username == person.name or desk.access_of(person).may_teach(found.course)
    ):
        raise HTTPException(404, _("There is no such submission."))
    return FileResponse(desk.blobs.path(found.sha256), media_type="application/x-tar")


@router.get("/submissions/{submission}/feedback/{notebook}")
def feedback(desk: AtDesk, person: Lab, submission: str, notebook: str) -> Response:
    """A released feedback page of the person's own submission."""

    with desk.database.read() as session:
        found = session.get(Submission, submission)
        page = session.scalar(
            select(Feedback).where(
                Feedback.submission_id == submission, Feedback.notebook == notebook
            )
        )
    if found is None or page is None or found.username != person.name:
        raise HTTPException(404, _("There is no feedback yet."))
    return Response(desk.blobs.read(page.sha256), media_type="text/html")


@router.post("/courses/{course}/assignments/{assignment}/{action}")
def act(
    desk: AtDesk, person: Lab, course: str, assignment: str, action: actions.Action
) -> dict[str, str]:
    """Instructors in a lab: publish, grade, release feedback."""
    desk.teacher(person, course)
    return actions.start(desk, course, assignment, action, person.name)


@router.get("/jobs/{job}")
def job(desk: AtDesk, person: Lab, job: str) -> dict[str, str]:
    """State of a job of a course that the person teaches."""
    with desk.database.read() as session:
        found = session.get(Job, job)
    if found is None or not desk.access_of(person).may_teach(found.course):
        raise HTTPException(404, _("There is no such job."))
    return {"state": found.state, "reason": found.reason}


@router.get("/courses/{course}/assignments/{assignment}/collect")
def collect(desk: AtDesk, person: Lab, course: str, assignment: str) -> list[dict[str, str]]:
    """Instructors: each learner's last attempt."""
    desk.teacher(person, course)
    with desk.database.read() as session:
        attempts = submissions.latest(session, course, assignment)
    return [
        {
            "id": a.id,
            "student": submissions.student_id(a.username),
            "timestamp": a.received_at.strftime(submissions.STAMP),
        }
        for a in attempts
    ]


def _rules(desk: Desk, username: str, course: str, assignment: str) -> accepting.Rules:
    item = desk.assignment(course, assignment)[1]
    with desk.database.read() as session:
        when = dates.of(session, course, item, username)
    return accepting.Rules(when.due, when.close, item.attempts, item.autograde)


def _released(desk: Desk, person: Person, course: str, assignment: str) -> Release:
    """The version that this person may get, else a refusal."""
    access = desk.learner(person, course)
    _course, item = desk.assignment(course, assignment)
    with desk.database.read() as session:
        newest = submissions.newest_release(session, course, assignment)
    if newest is None or not (submissions.is_open(item, now()) or access.may_teach(course)):
        raise HTTPException(404, _("This assignment is not published yet. Ask your instructor."))
    return newest


def _published(desk: Desk, course: Course, username: str) -> list[dict[str, Any]]:
    found = []
    for item in course.assignments:
        with desk.database.read() as session:
            newest = submissions.newest_release(session, course.id, item.id)
        if newest is None or not submissions.is_open(item, now()):
            continue
        found.append(
            {
                "course": course.id,
                "assignment": item.id,
                "title": item.title.in_(i18n.language()),
                "due": item.due.isoformat() if item.due else None,
                "version": newest.version,
                "notebooks": newest.notebooks,
                "username": username,
                "submissions": _submissions(desk, username, course.id, item.id),
            }
        )
    return found


def _submissions(desk: Desk, username: str, course: str, assignment: str) -> list[dict[str, Any]]:
    with desk.database.read() as session:
        own = submissions.of_person(session, username, course, assignment)
        pages = submissions.feedback_of(session, (s.id for s in own))
    return [
        {
            **receipts.receipt(one, desk.receipt_key),
            "timestamp": one.received_at.strftime(submissions.STAMP),
            "notebooks": one.notebooks,
            "feedback": pages.get(one.id, {}),
        }
        for one in own
    ]
