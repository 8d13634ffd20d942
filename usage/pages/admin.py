"""Administration: cohorts, budgets, ledger, event codes, members; cohort staff read their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from core.ids import new_id
from core.wire import GpuNeed
from usage import desk, forms, texts, views
from usage.api_internal import Service, Zone
from usage.home import STAFF
from usage.models import Membership, SlotRow
from usage.refusals import No
from usage.service import Usage
from web.auth import Person, admin_only, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter(prefix="/admin")
Admin = Annotated[Person, Depends(admin_only)]
Me = Annotated[Person, Depends(signed_in)]

_BASE = "/services/usage/admin"


@router.get("")
def show(request: Request, service: Service, _me: Admin) -> Response:
    """All cohorts and GPUs."""
    return _list(request, service)


@router.post("/cohorts")
def create(
    request: Request,
    service: Service,
    zone: Zone,
    _me: Admin,
    form: Annotated[forms.CohortForm, Form()],
) -> Response:
    """Create a cohort."""
    try:
        spec = forms.cohort_spec(form)
        service.put_cohort(spec)
    except No as no:
        return _list(request, service, texts.sentence(no, zone), form)
    return RedirectResponse(f"{_BASE}/cohorts/{spec.id}", 303)


@router.post("/slots")
def drain(
    service: Service,
    _me: Admin,
    slot: Annotated[str, Form()],
    drained: Annotated[bool, Form()],
) -> Response:
    """Keep new labs off a slot, or let them on again."""
    with service.database.write() as session:
        row = session.get(SlotRow, slot)
        if row is None:
            raise HTTPException(404)
        row.drained = drained
    return RedirectResponse(_BASE, 303)


@router.get("/cohorts/{cohort}")
def show_cohort(request: Request, cohort: str, service: Service, zone: Zone, me: Me) -> Response:
    """One cohort, for admins and for its own staff."""
    _role(service, me, cohort)
    return _cohort(request, service, zone, me, cohort)


@router.post("/cohorts/{cohort}/entries")
def book(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.BookingForm, Form()],
) -> Response:
    """Book a top-up, grant or correction. The form's key books once, however often it is sent."""

    def act() -> None:
        service.book(
            cohort, form.kind, forms.hours(form.hours), me.name, form.reason, f"form:{form.key}"
        )

    return _do(request, service, zone, me, cohort, act)


@router.post("/cohorts/{cohort}/limits")
def set_limits(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.LimitsForm, Form()],
) -> Response:
    """Change the cohort's end and what one learner and one lab may use."""

    def act() -> None:
        with service.database.read() as session:
            now = views.spec_of(views.cohort(session, cohort))
        service.put_cohort(forms.limits(form, now))

    return _do(request, service, zone, me, cohort, act)


@router.post("/cohorts/{cohort}/windows")
def add_window(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.WindowForm, Form()],
) -> Response:
    """Reserve GPU places for the cohort."""

    def act() -> None:
        seats = forms.whole(form.seats, "seats")
        service.add_window(cohort, form.starts, form.ends, seats, GpuNeed(form.isolation), me.name)

    return _do(request, service, zone, me, cohort, act)


@router.post("/cohorts/{cohort}/windows/{window}/remove")
def remove_window(
    request: Request, cohort: str, window: str, service: Service, zone: Zone, me: Admin
) -> Response:
    """Give reserved places up."""
    return _do(request, service, zone, me, cohort, lambda: service.remove_window(cohort, window))


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
        expires = forms.with_zone(form.expires, local)
        service.put_code(form.code, cohort, forms.whole(form.seats, "seats"), expires, form.role)

    return _do(request, service, zone, me, cohort, act)


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
    return _do(
        request,
        service,
        zone,
        me,
        cohort,
        lambda: service.enrol(cohort, form.username.strip(), form.role, name=form.name.strip()),
    )


@router.post("/cohorts/{cohort}/requests/{request_id}")
def decide(
    request: Request,
    cohort: str,
    request_id: str,
    service: Service,
    zone: Zone,
    me: Me,
    grant: Annotated[bool, Form()],
) -> Response:
    """Answer a request for more: instructors within the cohort's allowance, admins without."""
    if _role(service, me, cohort) not in ("site", "instructor", "admin"):
        raise HTTPException(403, _("Only instructors may answer requests."))
    return _do(
        request,
        service,
        zone,
        me,
        cohort,
        lambda: service.decide(request_id, cohort, grant, me.name, me.admin),
    )


def _role(service: Usage, me: Person, cohort: str) -> str:
    """The person's role here: "site" for an admin of the Hub. Others than staff get 404, so that
    nobody learns which cohorts there are."""
    if me.admin:
        return "site"
    with service.database.read() as session:
        row = session.get(Membership, (cohort, me.name))
    if row is None or row.removed_at is not None or row.role not in STAFF:
        raise HTTPException(404)
    return row.role


def _do(
    request: Request, service: Usage, zone: str, me: Person, cohort: str, act: Callable[[], object]
) -> Response:
    """Act and show the cohort again; a refusal is shown on the page."""
    try:
        act()
    except No as no:
        return _cohort(request, service, zone, me, cohort, texts.sentence(no, zone))
    return RedirectResponse(f"{_BASE}/cohorts/{cohort}", 303)


def _list(
    request: Request, service: Usage, problem: str = "", form: forms.CohortForm | None = None
) -> Response:
    with service.database.read() as session:
        return render(
            request,
            "usage/admin.html",
            409 if problem else 200,
            problem=problem,
            form=form or forms.CohortForm(),
            cohorts=desk.list_cohorts(session),
            slots=desk.slots(session),
            courses=request.app.state.courses,
            gpu_time=texts.gpu_time,
        )


def _cohort(
    request: Request, service: Usage, zone: str, me: Person, cohort: str, problem: str = ""
) -> Response:
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
            may_answer=_role(service, me, cohort) in ("site", "instructor", "admin"),
            courses=request.app.state.courses,
            key=new_id("entry"),
            gpu_time=texts.gpu_time,
            exact=texts.exact_seconds,
            reason=texts.reason,
            words=texts.words,
        )
