"""An instructor looks at what learners will get before publishing; and releases the solution."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.clock import now
from core.course import CourseError
from core.i18n import LANGUAGES, NAMES
from grader import audit, dates, explained, labels, preview
from grader.desk import AtDesk, Classroom, Desk, InClass
from grader.models import Solution
from grader.pages.notebook import sandboxed
from grader.preview import Preview
from web import i18n
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]
_PATH = "/courses/{course}/assignments/{assignment}"


@router.get(_PATH + "/preview")
def show(request: Request, room: InClass, assignment: str, language: str = "") -> HTMLResponse:
    """Exactly what learners get: the notebooks, the files, and what is taken out of the source."""
    item = room.assignment(assignment)
    shown, problem = _made(room, assignment)
    chosen = language if language in LANGUAGES else i18n.language()
    return render(
        request,
        "grader/preview.html",
        409 if problem else 200,
        room=room,
        course=room.course,
        assignment=item,
        preview=shown,
        files=shown.files(chosen) if shown else [],
        problem=problem,
        chosen=chosen,
        names=NAMES,
    )


@router.get(_PATH + "/preview/{language}/{notebook}")
def notebook(room: InClass, assignment: str, language: str, notebook: str) -> Response:
    """One notebook of it, as a page in a sandbox of its own."""
    shown, problem = _made(room, assignment)
    if shown is None or language not in LANGUAGES or notebook not in shown.notebooks:
        raise HTTPException(404, problem or _("There is no such notebook."))
    return sandboxed(shown.read(language, f"{notebook}.ipynb"), notebook, language)


@router.post(_PATH + "/solution")
def release_solution(
    room: InClass, assignment: str, anyway: Annotated[bool, Form()] = False
) -> RedirectResponse:
    """Let the cohort read the solution. Before the closing time only `anyway`."""
    from grader.publish import Unpublishable

    item = room.assignment(assignment)
    with room.desk.database.read() as session:
        early = too_early(session, room, assignment)
    if early and not anyway:
        raise HTTPException(
            409,
            _("Somebody can still hand in work. Wait until it is closed, or release it anyway."),
        )
    try:
        made = preview.solution(room.course, item)
    except (Unpublishable, CourseError) as error:
        raise HTTPException(409, labels.said(explained.of(error))) from None
    archives = {language: room.desk.blobs.put(tar) for language, tar in made.items()}
    with room.desk.database.write() as session:
        session.merge(
            Solution(
                course=room.course.id,
                cohort=room.cohort,
                assignment=assignment,
                archives=archives,
                released_at=now(),
                released_by=room.person.name,
                early=early,
            )
        )
        _note(session, room, "assignment.release-solution", assignment, early=early)
    return RedirectResponse(f"{room.path}#{assignment}", 303)


@router.post(_PATH + "/solution/withdraw")
def withdraw_solution(room: InClass, assignment: str) -> RedirectResponse:
    """Hide the solution from learners again."""
    room.assignment(assignment)
    with room.desk.database.write() as session:
        found = session.get(Solution, (room.course.id, room.cohort, assignment))
        if found is not None:
            session.delete(found)
            _note(session, room, "assignment.hide-solution", assignment)
    return RedirectResponse(f"{room.path}#{assignment}", 303)


@router.get("/solutions/{course}/{assignment}")
def solution(
    request: Request, desk: AtDesk, person: Someone, course: str, assignment: str, cohort: str = ""
) -> HTMLResponse:
    """A released solution, for the cohort's learners and staff."""
    found = _solution(desk, person, course, assignment, cohort)
    shown, item = desk.assignment(course, assignment)
    return render(
        request,
        "grader/solution.html",
        course=shown,
        assignment=item,
        solution=found,
        notebooks=preview.notebooks_of(desk.blobs.read(found.archives["en"])),
    )


@router.get("/solutions/{course}/{assignment}/read/{notebook}")
def solution_notebook(
    desk: AtDesk, person: Someone, course: str, assignment: str, notebook: str, cohort: str = ""
) -> Response:
    """One solved notebook, as a page in a sandbox of its own."""
    found = _solution(desk, person, course, assignment, cohort)
    tar = desk.blobs.read(found.archives.get(i18n.language(), found.archives["en"]))
    try:
        return sandboxed(preview.member(tar, f"{notebook}.ipynb"), notebook)
    except KeyError:
        raise HTTPException(404, _("There is no such notebook.")) from None


@router.get("/solutions/{course}/{assignment}/archive")
def solution_archive(
    desk: AtDesk, person: Someone, course: str, assignment: str, cohort: str = ""
) -> Response:
    """The solved files, to work with."""
    found = _solution(desk, person, course, assignment, cohort)
    tar = desk.blobs.read(found.archives.get(i18n.language(), found.archives["en"]))
    name = f"{course}-{assignment}-solution.tar"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(tar, media_type="application/x-tar", headers=headers)


def too_early(session: Session, room: Classroom, assignment: str) -> bool:
    """Somebody of the cohort may still hand in: the closing time, for whomever, is to come."""
    item = room.assignment(assignment)
    rows = dates.rows_of(session, room.course.id, room.cohort, item.id)
    names = {"", *(row.username for row in rows)}
    closes = [dates.pick(item, rows, room.cohort, name).close for name in names]
    return any(close is None or close > now() for close in closes)


def _solution(desk: Desk, person: Person, course: str, assignment: str, cohort: str) -> Solution:
    """The released solution of the person's own cohort, or of one that they teach; else 404."""
    access = desk.access_of(person)
    wanted = cohort if cohort and access.may_teach(course, cohort) else ""
    mine = wanted or desk.cohort_of(person, course, cohort)
    with desk.database.read() as session:
        found = session.get(Solution, (course, mine, assignment))
    if found is None:
        raise HTTPException(404, _("The solution is not released."))
    return found


def _note(session: Session, room: Classroom, action: str, assignment: str, **facts: Any) -> None:
    """Into the audit log."""
    scope = f"{room.course.id}/{room.cohort}"
    audit.note(session, room.person.name, action, scope, assignment, **facts)


def _made(room: Classroom, assignment: str) -> tuple[Preview | None, str]:
    """The preview, or why there can be none."""
    from grader.publish import Unpublishable

    try:
        return preview.make(room.course, room.assignment(assignment)), ""
    except Unpublishable as error:
        return None, labels.said(error)
