"""Pages of an instructor: publish, grade with live progress, look at results, release feedback."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.clock import now
from grader import actions, jobs, labels, results, views
from grader.desk import AtDesk, Desk
from grader.models import Submission
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]


@router.get("/courses/{course}")
def course_page(request: Request, desk: AtDesk, person: Someone, course: str) -> HTMLResponse:
    """Every assignment of a course with its submissions."""
    desk.teacher(person, course)
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, _("There is no such course or assignment."))
    with desk.database.read() as session:
        desktops = [views.desktop(session, found, item) for item in found.assignments]
    return render(
        request,
        "grader/course.html",
        course=found,
        desktops=desktops,
        state=labels.state,
        local=_local(desk),
    )


@router.get("/courses/{course}/assignments/{assignment}/card")
def card(
    request: Request, desk: AtDesk, person: Someone, course: str, assignment: str
) -> HTMLResponse:
    """One assignment's part of the page, asked for again while something is under way."""
    desk.teacher(person, course)
    return _card(request, desk, course, assignment)


@router.post("/courses/{course}/assignments/{assignment}/{action}")
def act(
    request: Request,
    desk: AtDesk,
    person: Someone,
    course: str,
    assignment: str,
    action: actions.Action,
    again: Annotated[bool, Form()] = False,
) -> Response:
    """A button of that part."""
    desk.teacher(person, course)
    actions.start(desk, course, assignment, action, person.name, again)
    if request.headers.get("hx-request"):
        return _card(request, desk, course, assignment)
    return RedirectResponse(f"/services/grader/courses/{course}#{assignment}", 303)


@router.post("/submissions/{submission}/grade")
def grade_one(desk: AtDesk, person: Someone, submission: str) -> RedirectResponse:
    """Grade one submission again."""
    with desk.database.read() as session:
        found = session.get(Submission, submission)
    if found is None or not desk.access_of(person).may_teach(found.course):
        raise HTTPException(404, _("There is no such submission."))
    with desk.database.write() as session:
        jobs.ask(session, "grade", (found.course, found.assignment, found.id), person.name)
    return RedirectResponse(f"/services/grader/courses/{found.course}#{found.assignment}", 303)


@router.get("/courses/{course}/export.csv")
def export(desk: AtDesk, person: Someone, course: str) -> Response:
    """All scores, with nbgrader's columns."""
    desk.teacher(person, course)
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, _("There is no such course or assignment."))
    with desk.database.read() as session:
        text = results.export(session, found)
    name = f"{course}-{now():%Y%m%d}.csv"
    # The mark at the front tells spreadsheets that this is UTF-8.
    return Response(
        "\ufeff" + text,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _card(request: Request, desk: Desk, course: str, assignment: str) -> HTMLResponse:
    found, item = desk.assignment(course, assignment)
    with desk.database.read() as session:
        desktop = views.desktop(session, found, item)
    return render(
        request,
        "grader/assignment.html",
        course=found,
        desktop=desktop,
        state=labels.state,
        local=_local(desk),
    )


def _local(desk: Desk) -> Callable[[datetime | None], str]:
    """For date fields: a moment in the site's zone; empty for none."""
    zone = ZoneInfo(desk.settings.site.timezone)
    return lambda at: at.astimezone(zone).strftime("%Y-%m-%dT%H:%M") if at else ""
