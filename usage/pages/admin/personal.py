"""Personal data: look a person up, take all of their data away as a file, have them erased."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from sqlalchemy import select
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse, Response

from usage import forms, reasons
from usage.api_internal import Service, Zone
from usage.classroom.coursework import Coursework, GraderDown
from usage.models import Cohort, Membership
from usage.models import Person as PersonRow
from usage.pages.admin.common import BASE, NO_SLIP, Admin, Slip, slip, words
from usage.refusals import No
from usage.retention import erasing, person
from usage.retention.models import Erasure
from usage.service import Usage
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()

_SHOWN = 50


@router.get("/people")
def show(request: Request, service: Service, zone: Zone, me: Admin, username: str = "") -> Response:
    """A person by user name or e-mail address, and what is being erased."""
    if not username.strip():
        return _page(request, service)
    try:
        found = _find(service, username)
    except No as no:
        typed = {"username": username}
        return _page(request, service, slip(no, zone, "look", typed))
    service.note_read(me.name, "person.read", "", found)
    return _page(request, service, username=found)


@router.get("/people/{username}/data.zip")
async def export(request: Request, username: str, service: Service, me: Admin) -> Response:
    """Everything about one person, of both services, as a ZIP."""
    with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as coursework:
        try:
            source: Coursework = request.app.state.coursework
            await source.export(username, coursework)
        except GraderDown:
            Path(coursework.name).unlink()
            said = _("The coursework service does not answer. Try again in a minute.")
            return await run_in_threadpool(_page, request, service, Slip(said), username)
    try:
        made = await run_in_threadpool(_zip, service, username, me.name, Path(coursework.name))
    finally:
        Path(coursework.name).unlink()
    return FileResponse(
        made,
        media_type="application/zip",
        filename="personal-data.zip",
        background=BackgroundTask(made.unlink, missing_ok=True),
    )


@router.post("/people/{username}/erase")
def erase(
    request: Request,
    username: str,
    service: Service,
    zone: Zone,
    me: Admin,
    reason: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Have a person erased. The name has to be typed once more, since nothing brings it back."""
    try:
        why = forms.given(reason)
        if again.strip() != username or username == me.name:
            raise No("confirm_name", username=username)
        with service.database.write() as session:
            person.check_erasable(session, username)
            erasing.ask(session, service, username, me.name, why)
    except No as no:
        typed = {"reason": reason, "again": again}
        return _page(request, service, slip(no, zone, "erase", typed), username)
    eraser: erasing.Eraser = request.app.state.eraser
    eraser.wake()
    return RedirectResponse(f"{BASE}/people?done=erase", 303)


def _find(service: Usage, typed: str) -> str:
    name = typed.strip()
    with service.database.read() as session:
        if person.is_known(session, name):
            return name
        by_mail = session.scalars(select(PersonRow).where(PersonRow.email != "")).all()
        same = [row.username for row in by_mail if row.email.lower() == name.lower()]
    if len(same) != 1:
        raise No("person_unknown", username=name[:80])
    return same[0]


def _zip(service: Usage, username: str, actor: str, coursework: Path) -> Path:
    with service.database.read() as session:
        if not person.is_known(session, username):
            raise HTTPException(404)
        about = person.everything(session, username)
    service.note(actor, "person.export", "", username)
    with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            text = json.dumps(about, ensure_ascii=False, indent=1, default=str)
            made.writestr("usage.json", text)
            made.write(coursework, "coursework.zip", zipfile.ZIP_STORED)
        return Path(out.name)


def _page(
    request: Request, service: Usage, refused: Slip = NO_SLIP, username: str = ""
) -> Response:
    with service.database.read() as session:
        about = person.everything(session, username) if username else {}
        known = session.get(PersonRow, username) if username else None
        query = select(Erasure).order_by(Erasure.created_at.desc()).limit(_SHOWN)
        member = select(Cohort.id, Cohort.name).join(Membership, Membership.cohort_id == Cohort.id)
        cohorts = session.execute(member.where(Membership.username == username))
        return render(
            request,
            "usage/personal.html",
            refused.status,
            username=username,
            known=known,
            about={_kept(name): len(rows) for name, rows in sorted(about.items())},
            cohorts={row.id: row.name for row in cohorts} if username else {},
            erasures=session.scalars(query).all(),
            steps=erasing.STEPS,
            problem=reasons.problem,
            **words(request, refused),
        )


def _kept(table: str) -> str:
    """What a table holds about a person, in words."""
    return {
        "accounts": _("shares of GPU time"),
        "announcement_reads": _("announcements read"),
        "announcements": _("announcements written"),
        "audit": _("entries of the audit log"),
        "consents": _("consents"),
        "enrolments": _("memberships"),
        "entries": _("entries of the ledger"),
        "erasures": _("erasures asked for"),
        "expected": _("places on rosters"),
        "lab_activity": _("what labs reported last"),
        "leases": _("GPU labs"),
        "prestarts": _("labs started ahead"),
        "people": _("name and e-mail address"),
        "requests": _("requests for GPU time"),
        "roster_imports": _("roster imports"),
        "waits": _("places in the queue"),
        "windows": _("reserved windows"),
    }.get(table, table)
