"""What the pages of administration share: who may, what is shown again after a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from core.ids import new_id
from usage import desk, texts
from usage.home import STAFF
from usage.models import Membership
from usage.refusals import No
from usage.service import Usage
from web.auth import Person, admin_only, signed_in
from web.pages import render

Admin = Annotated[Person, Depends(admin_only)]
Me = Annotated[Person, Depends(signed_in)]

BASE = "/services/usage/admin"


def role_in(service: Usage, me: Person, cohort: str) -> str:
    """The person's role in `cohort`: "site" for an admin of the Hub. Others than staff get 404, so
    that nobody learns which cohorts there are."""
    if me.admin:
        return "site"
    with service.database.read() as session:
        row = session.get(Membership, (cohort, me.name))
    if row is None or row.removed_at is not None or row.role not in STAFF:
        raise HTTPException(404)
    return row.role


def do(
    request: Request, service: Usage, zone: str, me: Person, cohort: str, act: Callable[[], object]
) -> Response:
    """Act and show the cohort again; a refusal is shown on the page."""
    try:
        act()
    except No as no:
        return show_cohort(request, service, zone, me, cohort, texts.sentence(no, zone))
    return RedirectResponse(f"{BASE}/cohorts/{cohort}", 303)


def show_cohort(
    request: Request, service: Usage, zone: str, me: Person, cohort: str, problem: str = ""
) -> Response:
    """The cohort's page; 409 with a `problem`."""
    with service.database.read() as session:
        try:
            page = desk.cohort_page(session, cohort)
        except No as no:
            raise HTTPException(404, texts.sentence(no, zone)) from no
        return render(
            request,
            "usage/cohort.html",
            409 if problem else 200,
            problem=problem,
            page=page,
            may_change=me.admin,
            may_answer=role_in(service, me, cohort) in ("site", "instructor", "admin"),
            courses=request.app.state.courses,
            key=new_id("entry"),
            gpu_time=texts.gpu_time,
            exact=texts.exact_seconds,
            reason=texts.reason,
            words=texts.words,
        )
