"""The API for labs: nbgrader's exchange. Who somebody is comes from the lab's token alone."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from sqlalchemy import select
from starlette.responses import FileResponse, Response

from core.clock import now
from core.course import Course
from core.log import event
from grader import accepting, actions, certificates, dates, intake, labels, receipts, submissions
from grader.blobs import TooLarge
from grader.desk import AtDesk, Desk
from grader.models import Feedback, Job, Release, Score, Submission
from grader.notebook_html import in_language
from web import i18n
from web.auth import Person, lab_token
from web.formats import number
from web.i18n import gettext as _

_LOG = logging.getLogger("grader")
router = APIRouter(prefix="/api/lab")
Lab = Annotated[Person, Depends(lab_token)]
Cohort = Annotated[str, Header(alias="X-DLI-Cohort")]
"""The cohort that the lab was started for: tells which of a person's own cohorts is meant."""
_KEY = re.compile(r"[A-Za-z0-9_-]{8,100}")
_TAR_SLACK, _TAR_FILE = 2_000_000, 3_000
"""Bytes that tar's own headers and padding may add, and may add for each file."""


@router.get("/assignments")
def assignments(
    desk: AtDesk, person: Lab, course: str = "", cohort: Cohort = ""
) -> list[dict[str, Any]]:
    """Published assignments of the person's courses, with their submissions."""
    access = desk.access_of(person)
    found = []
    for one in desk.courses.values():
        if course in ("", one.id) and access.may_learn(one.id):
            own = access.cohort_of(one.id, cohort)
            teaches = access.may_publish(one.id)
            found += _published(desk, one, own or "", person.name, teaches)
    return found


@router.get("/courses/{course}/assignments/{assignment}/release")
def release(
    desk: AtDesk, person: Lab, course: str, assignment: str, cohort: Cohort = ""
) -> FileResponse:
    """The published archive in the learner's language."""
    newest, _work = _released(desk, person, course, assignment, cohort)
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
    cohort: Cohort = "",
) -> dict[str, Any]:
    """Take a submission; the receipt comes back once bytes and row are on disk."""
    if not _KEY.fullmatch(idempotency_key):
        raise HTTPException(400, "the header Idempotency-Key must be 8 to 100 of A-Z a-z 0-9 _ -")
    _newest, work = await to_thread.run_sync(_released, desk, person, course, assignment, cohort)
    limits = desk.settings.grader
    most = limits.max_submission_mb * 1_000_000
    try:
        slack = _TAR_SLACK + _TAR_FILE * limits.max_files
        received = await desk.blobs.receive(request.stream(), most + slack)
    except TooLarge:
        raise HTTPException(413, labels.said(intake.too_large(most))) from None
    try:
        submission = await to_thread.run_sync(_take, desk, work, idempotency_key, received)
    finally:
        received[0].unlink(missing_ok=True)
    event(_LOG, "submission accepted", submission=submission.id, person=person.name)
    return receipts.receipt(submission, desk.receipt_key)


def _take(
    desk: Desk, work: accepting.Work, key: str, received: tuple[Path, str, int]
) -> Submission:
    """Check and accept."""
    limits = desk.settings.grader
    with _refusals():
        contents = intake.check(
            received[0],
            limits.max_submission_mb * 1_000_000,
            limits.max_files,
            [ending.casefold() for ending in limits.refused_types],
        )
        arrived = accepting.Arrived(*received, contents)
        quota = limits.learner_quota_mb * 1_000_000
        return accepting.accept(desk.database, desk.blobs, work, key, arrived, quota)


@router.get("/courses/{course}/assignments/{assignment}/room")
def room(
    desk: AtDesk,
    person: Lab,
    course: str,
    assignment: str,
    size: Annotated[int, Query(ge=0)],
    files: Annotated[int, Query(ge=0)],
    cohort: Cohort = "",
) -> dict[str, int]:
    """Whether so many bytes in so many files may be submitted now. Asked before much is sent: a
    refusal in the middle of an upload ends the connection, and its sender never reads why."""
    _newest, work = _released(desk, person, course, assignment, cohort)
    limits = desk.settings.grader
    most = limits.max_submission_mb * 1_000_000
    with _refusals():
        if files > limits.max_files:
            raise intake.too_many(limits.max_files)
        if size > most:
            raise intake.too_large(most)
        accepting.check(desk.database, work, size, limits.learner_quota_mb * 1_000_000)
    return {"most_bytes": most, "most_files": limits.max_files}


@contextmanager
def _refusals() -> Iterator[None]:
    """Each refusal as a sentence that says what to do."""
    try:
        yield
    except accepting.Closed:
        raise HTTPException(
            409, _("This assignment is closed. Ask your instructor for more time.")
        ) from None
    except accepting.NoMoreAttempts:
        raise HTTPException(
            409, _("You have used all attempts of this assignment. Ask your instructor.")
        ) from None
    except intake.Unacceptable as error:
        raise HTTPException(422, labels.said(error)) from None
    except accepting.NoRoom as full:
        raise HTTPException(409, _no_room(*full.args)) from None
    except accepting.KeyReused:
        raise HTTPException(409, "this Idempotency-Key was used for something else") from None


def _no_room(needed: int, left: int, quota: int) -> str:
    return _(
        "This submission needs %(needed)s MB, but of your %(quota)s MB for submissions only "
        "%(left)s MB are left. Remove data and model files and clear large outputs, then submit "
        "again. If that is not enough, ask your instructor for more room."
    ) % {
        "needed": number(needed / 1_000_000, 1),
        "left": number(left / 1_000_000, 1),
        "quota": number(quota / 1_000_000),
    }


@router.get("/courses/{course}/assignments/{assignment}/submissions")
def own_submissions(
    desk: AtDesk, person: Lab, course: str, assignment: str, cohort: Cohort = ""
) -> list[dict[str, Any]]:
    """Every version that the person submitted, oldest first: its receipt, whether it was late,
    its score once that was released (else null), its feedback pages. The bytes: ``…/archive``."""
    own = desk.cohort_of(person, course, cohort)
    return _submissions(desk, person.name, course, own, assignment)


@router.get("/submissions/{submission}/archive")
def archive(desk: AtDesk, person: Lab, submission: str) -> FileResponse:
    """What was handed in: for its owner and for instructors of the cohort."""
    with desk.database.read() as session:
        found = session.get(Submission, submission)
    if found is None or not (
        found.username == person.name
        or desk.access_of(person).may_teach(found.course, found.cohort)
    ):
        raise HTTPException(404, _("There is no such submission."))
    submissions.note_read(desk.database, found, person.name)
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
    shown = in_language(desk.blobs.read(page.sha256), i18n.language())
    return Response(shown, media_type="text/html")


@router.post("/courses/{course}/assignments/{assignment}/{action}")
def act(
    desk: AtDesk,
    person: Lab,
    course: str,
    assignment: str,
    action: actions.Action,
    cohort: Cohort = "",
    student: str = "",
) -> dict[str, str]:
    """Instructors in a lab: publish for the course; grade and release feedback for a cohort.

    `student`: release the feedback of this one alone.
    """
    taught = _taught(desk, person, course, cohort)
    if student and action == "release-feedback":
        with desk.database.read() as session:
            attempts = submissions.latest(session, course, assignment, cohort=taught)
        own = [a for a in attempts if submissions.student_id(a.username) == student]
        if not own:
            raise HTTPException(404, _("There is no such submission."))
        job = actions.release_one(desk, own[0], person.name)
        return {"job": job.id, "batch": job.batch}
    return actions.start(desk, course, assignment, action, person.name, cohort=taught)


@router.get("/jobs/{job}")
def job(desk: AtDesk, person: Lab, job: str) -> dict[str, str]:
    """State of a job of a course that the person teaches."""
    with desk.database.read() as session:
        found = session.get(Job, job)
    access = desk.access_of(person)
    if found is None or not (
        access.may_publish(found.course)
        if found.kind == "publish"
        else access.may_teach(found.course, found.cohort)
    ):
        raise HTTPException(404, _("There is no such job."))
    return {"state": found.state, "reason": labels.why(found.reason)}


@router.get("/courses/{course}/assignments/{assignment}/collect")
def collect(
    desk: AtDesk,
    person: Lab,
    course: str,
    assignment: str,
    cohort: Cohort = "",
    which: Literal["last", "in-time", "all"] = "last",
) -> list[dict[str, str]]:
    """Instructors: attempts of the cohort's learners. `in-time`: of each the last that is not
    late, and the last where all are."""
    taught = _taught(desk, person, course, cohort)
    with desk.database.read() as session:
        attempts = submissions.of_class(session, course, assignment, cohort=taught)
    if which != "all":
        chosen: dict[str, Submission] = {}
        for a in attempts:
            if which == "last" or not a.late or chosen.get(a.username, a).late:
                chosen[a.username] = a
        attempts = list(chosen.values())
    return [
        {
            "id": a.id,
            "student": submissions.student_id(a.username),
            "timestamp": a.received_at.strftime(submissions.STAMP),
        }
        for a in attempts
    ]


def _taught(desk: Desk, person: Person, course: str, cohort: str) -> str:
    """The lab's cohort if the person teaches the course there, else the first that they teach."""
    access = desk.access_of(person)
    return desk.taught(person, course, cohort if cohort in access.taught(course) else "")


def _released(
    desk: Desk, person: Person, course: str, assignment: str, cohort: str
) -> tuple[Release, accepting.Work]:
    """The version that this person may get, and whose work it will be; else a refusal."""
    own = desk.cohort_of(person, course, cohort)
    _course, item = desk.assignment(course, assignment)
    with desk.database.read() as session:
        newest = submissions.newest_release(session, course, assignment)
        when = dates.of(session, course, own, item, person.name)
    taught = desk.access_of(person).may_teach(course, own)
    if newest is None or not (when.is_open(now()) or taught):
        raise HTTPException(404, _("This assignment is not published yet. Ask your instructor."))
    return newest, accepting.Work(person.name, course, own, item)


def _published(
    desk: Desk, course: Course, cohort: str, username: str, teaches: bool
) -> list[dict[str, Any]]:
    found = []
    for item in course.assignments:
        with desk.database.read() as session:
            newest = submissions.newest_release(session, course.id, item.id)
            when = dates.of(session, course.id, cohort, item, username)
        if newest is None or not when.is_open(now()):
            continue
        found.append(
            {
                "course": course.id,
                "cohort": cohort,
                "assignment": item.id,
                "title": item.title.in_(i18n.language()),
                "due": when.due.isoformat() if when.due else None,
                "close": when.close.isoformat() if when.close else None,
                "attempts": when.attempts,
                "version": newest.version,
                "notebooks": newest.notebooks,
                "username": username,
                "teaches": teaches,
                "submissions": _submissions(desk, username, course.id, cohort, item.id),
            }
        )
    return found


def _submissions(
    desk: Desk, username: str, course: str, cohort: str, assignment: str
) -> list[dict[str, Any]]:
    with desk.database.read() as session:
        own = submissions.of_person(session, username, course, cohort, assignment)
        pages = submissions.feedback_of(session, (s.id for s in own))
        scores = {s.id: certificates.released_score(session, s) for s in own if s.id in pages}
    return [
        {
            **receipts.receipt(one, desk.receipt_key),
            "cohort": one.cohort,
            "timestamp": one.received_at.strftime(submissions.STAMP),
            "notebooks": one.notebooks,
            "feedback": pages.get(one.id, {}),
            "score": _score(scores.get(one.id)),
        }
        for one in own
    ]


def _score(score: Score | None) -> dict[str, float] | None:
    if score is None:
        return None
    return {
        "score": score.score,
        "max_score": score.max_score,
        "late_penalty": score.late_penalty,
    }
