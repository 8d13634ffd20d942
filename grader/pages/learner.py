"""Pages of a learner: assignments, attempts with receipts, score and feedback."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from sqlalchemy import select
from starlette.responses import FileResponse, HTMLResponse, Response

from grader import certificates, history, jobs, labels, views
from grader.desk import AtDesk, Desk
from grader.models import Feedback, Submission
from grader.notebook_html import in_language
from grader.submissions import feedback_of, note_read, scores_of
from web import i18n
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]

NOTEBOOK_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'self'"
)
"""A notebook is hostile input: no script, no origin, nothing loaded from anywhere."""


@router.get("/")
def home(request: Request, desk: AtDesk, person: Someone) -> HTMLResponse:
    """My coursework."""
    access = desk.access_of(person)
    with desk.database.read() as session:
        work = [
            (course, cohort, views.own_work(session, course, cohort, person.name))
            for course in desk.courses.values()
            for cohort in access.learning(course.id)
        ]
    taught = [course for course in desk.courses.values() if access.may_publish(course.id)]
    return render(
        request,
        "grader/home.html",
        work=work,
        taught=taught,
        double=lambda course: len(access.learning(course.id)) > 1,
        cohort_name=desk.cohort_name,
    )


@router.get("/submissions/{submission}")
def submission(request: Request, desk: AtDesk, person: Someone, submission: str) -> HTMLResponse:
    """One submission: its receipt, and its score once released; everything for instructors."""
    found, teaches = visible(desk, person, submission)
    with desk.database.read() as session:
        newest = scores_of(session, [found.id]).get(found.id)
        score = newest if teaches else certificates.released_score(session, found)
        pages = sorted(feedback_of(session, [found.id]).get(found.id, {}))
        log = history.of(session, found) if teaches else []
        job = jobs.of_submission(session, found)
    course, item = desk.assignment(found.course, found.assignment)
    return render(
        request,
        "grader/submission.html",
        course=course,
        assignment=item,
        submission=found,
        score=score,
        early=None if teaches or score or not item.autograde else newest,
        log=log,
        job=job if teaches else None,
        grading=job is not None and job.state in ("queued", "running"),
        pages=pages,
        teaches=teaches,
        called=desk.called(found.cohort, found.username) if teaches else "",
        outcome=labels.outcome,
        flag=labels.flag,
        why=labels.why,
    )


@router.get("/submissions/{submission}/feedback/{notebook}")
def feedback(desk: AtDesk, person: Someone, submission: str, notebook: str) -> Response:
    """A feedback page in a sandbox of its own."""
    found, _teaches = visible(desk, person, submission)
    with desk.database.read() as session:
        page = session.scalar(
            select(Feedback).where(
                Feedback.submission_id == found.id, Feedback.notebook == notebook
            )
        )
    if page is None:
        raise HTTPException(404, _("There is no feedback yet."))
    return Response(
        in_language(desk.blobs.read(page.sha256), i18n.language()),
        media_type="text/html; charset=utf-8",
        headers={
            "Content-Security-Policy": NOTEBOOK_POLICY,
            "Cache-Control": "private, no-store",
        },
    )


@router.get("/submissions/{submission}/archive")
def archive(desk: AtDesk, person: Someone, submission: str) -> FileResponse:
    """What was handed in, as it was handed in."""
    found, _teaches = visible(desk, person, submission)
    note_read(desk.database, found, person.name)
    name = f"{found.course}-{found.assignment}-attempt-{found.attempt}.tar"
    return FileResponse(
        desk.blobs.path(found.sha256), media_type="application/x-tar", filename=name
    )


def visible(desk: Desk, person: Person, submission: str) -> tuple[Submission, bool]:
    """The submission if it is the person's own or of a cohort they teach, else 404."""
    with desk.database.read() as session:
        found = session.get(Submission, submission)
    if found is not None:
        teaches = desk.access_of(person).may_teach(found.course, found.cohort)
        if teaches or found.username == person.name:
            return found, teaches
    raise HTTPException(404, _("There is no such submission."))
