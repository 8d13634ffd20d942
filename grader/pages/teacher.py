"""Pages of an instructor: publish, grade with live progress, look at results, release feedback."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from core.clock import now
from grader import actions, audit, exports, jobs, labels, preview, views
from grader.desk import AtDesk, Classroom, InClass, class_path
from web import i18n, live
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render
from web.sheets import MEDIA_TYPE

router = APIRouter()
_EVERY_S = 1.0
Someone = Annotated[Person, Depends(signed_in)]


@router.get("/courses/{course}")
def course_page(request: Request, room: InClass) -> HTMLResponse:
    """Every assignment of a course with a cohort's submissions."""
    return _shown(request, room, "grader/course.html")


@router.get("/courses/{course}/events")
def events(request: Request, room: InClass) -> StreamingResponse:
    """The assignments again, whenever something changed."""
    return live.stream(request, _changing(request, room), _EVERY_S)


@router.post("/courses/{course}/assignments/{assignment}/{action}")
def act(
    room: InClass,
    assignment: str,
    action: actions.Action,
    again: Annotated[bool, Form()] = False,
    fingerprint: Annotated[str, Form()] = "",
) -> RedirectResponse:
    """A button of an assignment. `fingerprint`: what was looked at before publishing; 409 when the
    course's files changed since."""
    course = room.course.id
    if fingerprint and fingerprint != preview.fingerprint(room.course, assignment):
        raise HTTPException(
            409, _("The files of this assignment changed since the preview. Look at it again.")
        )
    actions.start(
        room.desk, course, assignment, action, room.person.name, again, cohort=room.cohort
    )
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
    actions.release_one(desk, found, person.name)
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


def _shown(request: Request, room: Classroom, template: str) -> HTMLResponse:
    with room.desk.database.read() as session:
        desktops = [
            views.desktop(session, room.course, room.cohort, item)
            for item in room.course.assignments
        ]
    return render(
        request,
        template,
        room=room,
        course=room.course,
        desktops=desktops,
        names=room.names(),
        state=labels.state,
        why=labels.why,
    )


def _changing(request: Request, room: Classroom) -> live.Part:
    """Draws the assignments; cheap while nothing has happened, which is most of the time."""
    known = ("", "")

    def look() -> str:
        nonlocal known
        room.desk.taught(room.person, room.course.id, room.cohort)
        with room.desk.database.read() as session:
            mark = f"{now():%F %H:%M} {views.mark(session)}"  # by the minute: it opens and closes
        if mark != known[0]:
            page = _shown(request, room, "grader/course_live.html")
            known = (mark, bytes(page.body).decode())
        return known[1]

    async def part() -> str:
        return await run_in_threadpool(look)

    return part
