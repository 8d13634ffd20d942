"""One cohort's GPU time: what is left and until when, bookings, refunds, requests for more."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from core.ids import new_id
from usage import desk, forecast, forms
from usage.api_internal import Service, Zone
from usage.pages.admin.common import Admin, Me, check_may_answer, cohort_of, do, role_in, words
from usage.retention import dates
from usage.service import Usage
from web.auth import Person
from web.pages import render

router = APIRouter()


@router.get("/cohorts/{cohort}")
def show(
    request: Request, cohort: str, service: Service, me: Me, pace: forecast.Pace = "week"
) -> Response:
    """One cohort, for admins and for its own staff."""
    return _page(request, service, me, cohort, pace=pace)


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
    return _do(request, service, cohort, me, zone)(
        lambda: service.book(
            cohort, form.kind, forms.hours(form.hours), me.name, form.reason, f"form:{form.key}"
        )
    )


@router.post("/cohorts/{cohort}/refunds")
def refund(
    request: Request,
    cohort: str,
    service: Service,
    zone: Zone,
    me: Admin,
    form: Annotated[forms.RefundForm, Form()],
) -> Response:
    """Give back what an ended lab was charged, or a part of it."""
    return _do(request, service, cohort, me, zone)(
        lambda: service.refund(
            cohort,
            form.lease,
            forms.optional_hours(form.hours),
            me.name,
            form.reason,
            f"form:{form.key}",
        )
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
    check_may_answer(service, me, cohort)
    return _do(request, service, cohort, me, zone)(
        lambda: service.decide(request_id, cohort, grant, me.name, me.admin)
    )


def _do(request: Request, service: Usage, cohort: str, me: Person, zone: str) -> partial[Response]:
    return partial(
        do,
        back=f"/cohorts/{cohort}",
        zone=zone,
        show=lambda problem: _page(request, service, me, cohort, problem),
    )


def _page(
    request: Request,
    service: Usage,
    me: Person,
    cohort: str,
    problem: str = "",
    pace: forecast.Pace = "week",
) -> Response:
    role = role_in(service, me, cohort)
    row = cohort_of(service, cohort)
    with service.database.read() as session:
        page = desk.cohort_page(session, cohort)
        entries = desk.movements(session, cohort)
        outlook = forecast.outlook(entries, row.ends_at, service.clock.now(), pace)
        return render(
            request,
            "usage/cohort.html",
            409 if problem else 200,
            problem=problem,
            page=page,
            outlook=outlook,
            burn=forecast.chart(entries, outlook),
            deletion=dates.of(row, request.app.state.settings.usage.keep_days),
            may_change=me.admin,
            may_answer=role in ("site", "instructor", "admin"),
            key=new_id("entry"),
            **words(request),
        )
