"""Importing a roster: choose a file, see what it will do, do exactly that."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Request, UploadFile
from starlette.responses import RedirectResponse, Response

from usage import texts, views
from usage.api_internal import Service, Zone
from usage.pages.admin.common import BASE, NO_SLIP, Admin, Slip, cohort_of, words
from usage.refusals import No
from usage.roster import RosterError, imports, parse_roster
from usage.roster import texts as say
from usage.roster.parse import MOST_BYTES, MOST_ROWS
from usage.service import Usage
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()

EXAMPLE = "\ufeffemail,name,role,username\r\nminji@example.com,김민지,trainee,\r\n"
_SHOWN = 500
"""Rows of a preview on the page, those that need a look first; all of them are counted."""


@router.get("/cohorts/{cohort}/roster")
def choose(request: Request, cohort: str, service: Service, _me: Admin) -> Response:
    """The form for a file."""
    return _form(request, service, cohort)


@router.get("/roster-example.csv")
def example(_me: Admin) -> Response:
    """A file of our own format, to be filled in."""
    headers = {"Content-Disposition": 'attachment; filename="roster.csv"'}
    return Response(EXAMPLE.encode(), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/cohorts/{cohort}/roster")
def preview(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    roster: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Read the file and keep what it will do; nothing is enrolled yet."""
    try:
        if roster is None or not roster.filename:
            raise No("roster_no_file")
        read = parse_roster(roster.file.read(MOST_BYTES + 1))
        made = service.preview_roster(cohort, read, roster.filename, me.name)
    except RosterError as error:
        no = No(f"roster_{error.code}", **error.details)
        return _form(request, service, cohort, _refused(no, zone))
    except No as no:
        return _form(request, service, cohort, _refused(no, zone))
    return RedirectResponse(f"{BASE}/cohorts/{cohort}/roster/{made.id}", 303)


@router.get("/cohorts/{cohort}/roster/{import_id}")
def show(
    request: Request, cohort: str, import_id: str, service: Service, zone: Zone, me: Admin
) -> Response:
    """What the file will do, row by row."""
    try:
        return _preview(request, service, service.roster_preview(cohort, import_id, me.name))
    except No as no:
        return _form(request, service, cohort, _refused(no, zone))


@router.post("/cohorts/{cohort}/roster/{import_id}")
def apply(
    request: Request, cohort: str, import_id: str, service: Service, zone: Zone, me: Admin
) -> Response:
    """Do what the preview showed, or show a new one when something has changed since."""
    try:
        done, applied = service.apply_roster(cohort, import_id, me.name)
    except No as no:
        return _form(request, service, cohort, _refused(no, zone))
    if applied:
        return RedirectResponse(f"{BASE}/cohorts/{cohort}/people?imported={import_id}", 303)
    changed = _(
        "Something has changed since this preview was made, so nothing was written. This is what "
        "the file would do now."
    )
    return _preview(request, service, done, changed)


def _form(request: Request, service: Usage, cohort: str, slip: Slip = NO_SLIP) -> Response:
    return render(
        request,
        "usage/roster.html",
        slip.status,
        cohort=cohort_of(service, cohort),
        most_rows=MOST_ROWS,
        most_mb=MOST_BYTES // 1024 // 1024,
        **words(request, slip),
    )


def _refused(no: No, zone: str) -> Slip:
    return Slip(texts.sentence(no, zone), "roster", "roster")


def _preview(
    request: Request, service: Usage, made: imports.Preview, problem: str = ""
) -> Response:
    with service.database.read() as session:
        row = views.cohort(session, made.cohort)
    first = {"out": 0, "confirm": 1, "change": 2}
    steps = sorted(made.steps, key=lambda s: (first.get(s.act, 3), s.row.line))
    return render(
        request,
        "usage/roster_preview.html",
        409 if problem else 200,
        cohort=row,
        made=made,
        problem=problem,
        steps=steps[:_SHOWN],
        hidden=max(0, len(steps) - _SHOWN),
        say=say,
        words=texts.words,
    )
