"""Cohorts: the list, a new one (also as a copy), and one cohort's settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from core.wire import GpuNeed
from usage import desk, forms, views
from usage.api_internal import Service, Zone
from usage.pages.admin import listing
from usage.pages.admin.common import NO_SLIP, Admin, Slip, cohort_of, do, words
from usage.retention import dates
from usage.service import Usage
from web.pages import render

router = APIRouter()

_SORTS: dict[str, Callable[[desk.CohortLine], Any]] = {
    "name": lambda line: line.cohort.name,
    "starts": lambda line: line.cohort.starts_at,
    "ends": lambda line: line.cohort.ends_at,
    "members": lambda line: line.members,
    "running": lambda line: line.running,
    "left": lambda line: line.budget.left,
    "granted": lambda line: line.budget.cap,
}


@router.get("")
def show_all(
    request: Request, service: Service, _me: Admin, asked: Annotated[listing.Asked, Query()]
) -> Response:
    """All cohorts."""
    keep_days = request.app.state.settings.usage.keep_days
    with service.database.read() as session:
        return render(
            request,
            "usage/admin.html",
            cohorts=listing.listed(
                desk.list_cohorts(session),
                asked,
                lambda line: (line.cohort.name, line.cohort.organisation, line.cohort.id),
                _SORTS,
                "main",
            ),
            soon=dates.announced(session, keep_days),
            **words(request),
        )


@router.get("/new-cohort")
def new(request: Request, service: Service, _me: Admin, copy: str = "") -> Response:
    """The form for a new cohort, filled in from another one to `copy`."""
    form = forms.CohortForm(timezone=request.app.state.settings.site.timezone)
    if copy:
        with service.database.read() as session:
            spec = views.spec_of(cohort_of(service, copy))
            form = forms.copy_of(spec, views.budget(session, copy).cap)
    return _new(request, service, form)


@router.post("/cohorts")
def create(
    request: Request,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.CohortForm, Form()],
) -> Response:
    """Create a cohort; one that is there is not changed."""

    def act() -> None:
        spec = forms.cohort_spec(form)
        grant = forms.optional_hours(form.grant_hours, "grant_hours")
        service.create_cohort(spec, grant, form.copied_from if form.staff else "", me.name)

    back = f"/cohorts/{form.id.strip()}"
    return do(
        act,
        back,
        zone,
        lambda slip: _new(request, service, form, slip),
        typed=form.model_dump(),
    )


@router.get("/cohorts/{cohort}/settings")
def settings(request: Request, cohort: str, service: Service, _me: Admin) -> Response:
    """Name, courses, limits, reserved windows and how long data is kept."""
    return _settings(request, service, cohort)


@router.post("/cohorts/{cohort}/about")
def set_about(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.AboutForm, Form()],
) -> Response:
    """Change name, organisation, beginning and courses."""
    now = views.spec_of(cohort_of(service, cohort))
    return _do(request, service, cohort, zone)(
        lambda: service.put_cohort(forms.about(form, now), me.name),
        form="about",
        typed=form.model_dump(),
    )


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
    now = views.spec_of(cohort_of(service, cohort))

    def act() -> None:
        allowance = forms.optional_hours(form.allowance_hours, "allowance_hours", least=0)
        service.put_cohort(forms.limits(form, now), me.name)
        if allowance is not None:
            service.set_allowance(cohort, allowance, me.name)

    return _do(request, service, cohort, zone)(act, form="limits", typed=form.model_dump())


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

    return _do(request, service, cohort, zone)(act, form="windows", typed=form.model_dump())


@router.post("/cohorts/{cohort}/windows/{window}/remove")
def remove_window(
    request: Request, cohort: str, window: str, service: Service, zone: Zone, me: Admin
) -> Response:
    """Give reserved places up."""
    return _do(request, service, cohort, zone)(
        lambda: service.remove_window(cohort, window, me.name), form="windows"
    )


@router.post("/cohorts/{cohort}/retention")
def set_retention(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    until: Annotated[str, Form()] = "",
) -> Response:
    """Change the day after which the people's data is deleted; empty: as the setting says."""

    def act() -> None:
        row = cohort_of(service, cohort)
        service.set_keep_until(cohort, forms.day_end(until, row.timezone), me.name)

    return _do(request, service, cohort, zone)(act, form="retention", typed={"until": until})


def _do(request: Request, service: Usage, cohort: str, zone: str) -> partial[Response]:
    return partial(
        do,
        back=f"/cohorts/{cohort}/settings",
        zone=zone,
        show=lambda slip: _settings(request, service, cohort, slip),
    )


def _new(
    request: Request, service: Usage, form: forms.CohortForm, slip: Slip = NO_SLIP
) -> Response:
    with service.database.read() as session:
        others = desk.list_cohorts(session)
    return render(
        request,
        "usage/cohort_new.html",
        slip.status,
        form=form,
        others=others,
        **words(request, slip),
    )


def _settings(request: Request, service: Usage, cohort: str, slip: Slip = NO_SLIP) -> Response:
    row = cohort_of(service, cohort)
    with service.database.read() as session:
        return render(
            request,
            "usage/cohort_settings.html",
            slip.status,
            cohort=row,
            windows=desk.windows_of(session, cohort),
            about=forms.about_of(row),
            limits=forms.limits_of(row),
            deletion=dates.of(row, request.app.state.settings.usage.keep_days),
            **words(request, slip),
        )
