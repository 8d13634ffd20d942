"""Pages of an instructor: publish, grade with live progress, look at results, release feedback."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.clock import now
from grader import actions, audit, exports, jobs, labels, preview, views
from grader.desk import AtDesk, Classroom, InClass, class_path
from grader.submissions import is_newest, scores_of
from web import i18n
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render
from web.sheets import MEDIA_TYPE

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]


@router.get("/courses/{course}")
def course_page(request: Request, room: InClass) -> HTMLResponse:
    """Every assignment of a course with a cohort's submissions."""
    with room.desk.database.read() as session:
        desktops = [
            views.desktop(session, room.course, room.cohort, item)
            for item in room.course.assignments
        ]
    return render(
        request,
        "grader/course.html",
        room=room,
        course=room.course,
        desktops=desktops,
        state=labels.state,
    )


@router.get("/courses/{course}/assignments/{assignment}/card")
def card(request: Request, room: InClass, assignment: str) -> HTMLResponse:
    """One assignment's part of the page, asked for again while something is under way."""
    return _card(request, room, assignment)


@router.post("/courses/{course}/assignments/{assignment}/{action}")
def act(
    request: Request,
    room: InClass,
    assignment: str,
    action: actions.Action,
    again: Annotated[bool, Form()] = False,
    fingerprint: Annotated[str, Form()] = "",
) -> Response:
    """A button of that part. `fingerprint`: what was looked at before publishing; 409 when the
    course's files changed since."""
    course = room.course.id
    if fingerprint and fingerprint != preview.fingerprint(room.course, assignment):
        raise HTTPException(
            409, _("The files of this assignment changed since the preview. Look at it again.")
        )
    actions.start(
        room.desk, course, assignment, action, room.person.name, again, cohort=room.cohort
    )
    if request.headers.get("hx-request"):
        return _card(request, room, assignment)
    return RedirectResponse(f"{room.path}#{assignment}", 303)


@router.post("/submissions/{submission}/grade")
def grade_one(desk: AtDesk, person: Someone, submission: str) -> RedirectResponse:
    """Grade one submission again."""
    found = desk.taught_submission(person, submission)
    with desk.database.write() as session:
        jobs.ask(session, "grade", (found.course, found.assignment, found.id), person.name)
        scope = f"{found.course}/{found.cohort}"
        audit.note(session, person.name, "assignment.grade", scope, found.id)
    return RedirectResponse(class_path(found), 303)


@router.post("/submissions/{submission}/release")
def release_one(desk: AtDesk, person: Someone, submission: str) -> RedirectResponse:
    """Release the feedback of one learner's last attempt."""
    found = desk.taught_submission(person, submission)
    with desk.database.write() as session:
        if not is_newest(session, found):
            raise HTTPException(409, _("A newer attempt counts. Grade that one."))
        if found.id not in scores_of(session, [found.id]):
            raise HTTPException(409, _("Grade this submission first."))
        jobs.ask(session, "feedback", (found.course, found.assignment, found.id), person.name)
        scope = f"{found.course}/{found.cohort}"
        audit.note(session, person.name, "assignment.release-feedback", scope, found.username)
    return RedirectResponse(f"/services/grader/submissions/{found.id}", 303)


@router.get("/courses/{course}/export.csv")
def export(room: InClass, kind: exports.Kind = "nbgrader") -> Response:
    """A cohort's scores, with nbgrader's columns or for a learning platform."""
    members = room.desk.members(room.cohort)
    with room.desk.database.write() as session:
        scope = f"{room.course.id}/{room.cohort}"
        audit.note(session, room.person.name, "scores.export", scope, kind=kind)
        data = exports.export(session, room.course, room.cohort, members, kind, i18n.language())
    parts = (room.course.id, room.cohort, "" if kind == "nbgrader" else kind, f"{now():%Y%m%d}")
    name = "-".join(filter(None, parts)) + ".csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=MEDIA_TYPE, headers=headers)


def _card(request: Request, room: Classroom, assignment: str) -> HTMLResponse:
    with room.desk.database.read() as session:
        desktop = views.desktop(session, room.course, room.cohort, room.assignment(assignment))
    return render(
        request,
        "grader/assignment.html",
        room=room,
        course=room.course,
        desktop=desktop,
        state=labels.state,
    )
