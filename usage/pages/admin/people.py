"""Who is in a cohort: members, people of a roster who have not signed up, event codes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request
from starlette.responses import Response

from usage import codes, desk, forms, views
from usage.api_internal import Service, Zone
from usage.pages.admin import listing
from usage.pages.admin.common import NO_SLIP, Admin, Me, Slip, cohort_of, do, role_in, words
from usage.roster import expected
from usage.service import Usage
from usage.texts import words as words_of
from web.auth import Person
from web.pages import render

router = APIRouter()

_ALL = listing.Asked()

_SORTS: dict[str, Callable[[desk.Member], Any]] = {
    "username": lambda member: member.username,
    "name": lambda member: member.name,
    "email": lambda member: member.email,
    "role": lambda member: (member.role, member.username),
    "used": lambda member: member.used,
}


@router.get("/cohorts/{cohort}/people")
def show(
    request: Request,
    cohort: str,
    service: Service,
    me: Me,
    asked: Annotated[listing.Asked, Query()],
) -> Response:
    """Members, expected people and event codes; staff of the cohort see the members."""
    role_in(service, me, cohort)
    service.note_read(me.name, "people.read", cohort)
    return _page(request, service, me, cohort, asked=asked)


@router.post("/cohorts/{cohort}/members")
def enrol(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.MemberForm, Form()],
) -> Response:
    """Put a person into the cohort or change their role."""

    def act() -> None:
        name = form.username.strip()
        service.enrol(cohort, name, form.role, name=form.name.strip(), actor=me.name)

    return _do(request, service, zone, me, cohort)(act, form="member", typed=form.model_dump())


@router.post("/cohorts/{cohort}/members/{username}/remove")
def remove(
    request: Request,
    cohort: str,
    username: str,
    service: Service,
    zone: Zone,
    me: Admin,
    reason: Annotated[str, Form()] = "",
) -> Response:
    """End a membership."""

    def act() -> None:
        service.remove_member(cohort, username, me.name, forms.given(reason))

    typed = {"reason": reason, "username": username}
    return _do(request, service, zone, me, cohort)(act, form="members", typed=typed)


@router.post("/cohorts/{cohort}/expected/{place}/{what}")
def decide_expected(
    request: Request,
    cohort: str,
    place: int,
    what: str,
    service: Service,
    zone: Zone,
    me: Admin,
) -> Response:
    """Confirm whoever arrived under a roster's address, or expect them no more."""
    acts = {"confirm": service.confirm_expected, "remove": service.forget_expected}
    if what not in acts:
        raise HTTPException(404)
    return _do(request, service, zone, me, cohort)(
        lambda: acts[what](cohort, place, me.name), form="expected"
    )


@router.post("/cohorts/{cohort}/codes")
def create_code(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.CodeForm, Form()],
) -> Response:
    """Create or change an event code."""

    def act() -> None:
        with service.database.read() as session:
            local = views.cohort(session, cohort).timezone
        seats = forms.whole(form.seats, "seats")
        expires = forms.with_zone(form.expires, local)
        service.put_code(form.code, cohort, seats, expires, form.role, me.name)

    return _do(request, service, zone, me, cohort)(act, form="codes", typed=form.model_dump())


@router.get("/cohorts/{cohort}/codes/{code}/sheet")
def sheet(request: Request, cohort: str, code: str, service: Service, _me: Admin) -> Response:
    """A sheet to print and hang up: the address, the code, and both as a QR code."""
    with service.database.read() as session:
        found = codes.of_cohort(session, cohort, code)
        if found is None:
            raise HTTPException(404)
        address = codes.join_address(request.app.state.settings, found.code)
        return render(
            request,
            "usage/code_sheet.html",
            code=found,
            cohort=views.cohort(session, cohort),
            address=address,
            short=codes.short_address(request.app.state.settings),
            qr=codes.qr(address),
        )


def _do(request: Request, service: Usage, zone: str, me: Person, cohort: str) -> partial[Response]:
    return partial(
        do,
        back=f"/cohorts/{cohort}/people",
        zone=zone,
        show=lambda slip: _page(request, service, me, cohort, slip),
    )


def _page(
    request: Request,
    service: Usage,
    me: Person,
    cohort: str,
    slip: Slip = NO_SLIP,
    asked: listing.Asked = _ALL,
) -> Response:
    row = cohort_of(service, cohort)
    with service.database.read() as session:
        members = desk.members(session, cohort)
        typed = str(slip.typed.get("username", "")) if slip.form == "members" else ""
        if typed:  # back to the row whose form was refused, on whichever page it was
            asked = listing.Asked(q=typed[:200])
        waiting = expected.of_cohort(session, cohort) if me.admin else []
        return render(
            request,
            "usage/people.html",
            slip.status,
            cohort=row,
            members=listing.listed(
                members,
                asked,
                lambda m: (m.username, m.name, m.email, words_of(m.role)),
                _SORTS,
                "members",
            ),
            arrived=[place for place in waiting if place.arrived],
            awaited=listing.listed(
                [place for place in waiting if not place.arrived],
                asked,
                lambda p: (p.name, p.email, p.username, words_of(p.role)),
                {},
                "awaited",
            ),
            codes=codes.all_of(session, cohort) if me.admin else [],
            may_change=me.admin,
            **words(request, slip),
        )
