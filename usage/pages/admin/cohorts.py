"""Cohorts: the list, one cohort, its limits and reserved windows; staff read their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from core.wire import GpuNeed
from usage import desk, forms, texts, views
from usage.api_internal import Service, Zone
from usage.pages.admin.common import BASE, Admin, Me, do, role_in, show_cohort
from usage.refusals import No
from usage.service import Usage
from web.pages import render

router = APIRouter()


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
    return RedirectResponse(f"{BASE}/cohorts/{spec.id}", 303)


@router.get("/cohorts/{cohort}")
def show_one(request: Request, cohort: str, service: Service, zone: Zone, me: Me) -> Response:
    """One cohort, for admins and for its own staff."""
    role_in(service, me, cohort)
    return show_cohort(request, service, zone, me, cohort)


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
        if form.allowance_hours.strip():
            service.set_allowance(cohort, forms.hours(form.allowance_hours), me.name)

    return do(request, service, zone, me, cohort, act)


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
        need = GpuNeed(form.isolation)
        service.add_window(cohort, form.starts, form.ends, seats, need, me.name, form.prestart)

    return do(request, service, zone, me, cohort, act)


@router.post("/cohorts/{cohort}/windows/{window}/remove")
def remove_window(
    request: Request, cohort: str, window: str, service: Service, zone: Zone, me: Admin
) -> Response:
    """Give reserved places up."""
    return do(request, service, zone, me, cohort, lambda: service.remove_window(cohort, window))


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
