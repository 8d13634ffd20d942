"""One cohort's GPU time: what is left and until when, bookings, refunds, requests for more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from core.ids import new_id
from usage import desk, forecast, forms
from usage.api_internal import Service, Zone
from usage.client import Charge
from usage.pages.admin import listing
from usage.pages.admin.common import (
    NO_SLIP,
    Admin,
    Me,
    Slip,
    check_may_answer,
    cohort_of,
    do,
    role_in,
    words,
)
from usage.retention import dates
from usage.service import Usage
from web.auth import Person
from web.pages import render

router = APIRouter()


class Labs(listing.Asked):
    """What was asked of the list of labs, and the pace of the forecast."""

    pace: forecast.Pace = "week"


_ALL = Labs()

_SORTS: dict[str, Callable[[Charge], Any]] = {
    "username": lambda charge: charge.username,
    "held": lambda charge: charge.held_ms,
    "charged": lambda charge: charge.charged,
}


@router.get("/cohorts/{cohort}")
def show(
    request: Request,
    cohort: str,
    service: Service,
    me: Me,
    asked: Annotated[Labs, Query()],
) -> Response:
    """One cohort, for admins and for its own staff."""
    return _page(request, service, me, cohort, asked=asked)


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
        amount, why = forms.hours(form.hours), forms.given(form.reason)
        service.book(cohort, form.kind, amount, me.name, why, f"form:{form.key}")

    return _do(request, service, cohort, me, zone)(act, form="book", typed=form.model_dump())


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

    def act() -> None:
        amount, why = forms.optional_hours(form.hours), forms.given(form.reason)
        service.refund(cohort, form.lease, amount, me.name, why, f"form:{form.key}")

    name = f"refund-{form.lease}"
    return _do(request, service, cohort, me, zone)(act, form=name, typed=form.model_dump())


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
        lambda: service.decide(request_id, cohort, grant, me.name, me.admin), form="requests"
    )


def _do(request: Request, service: Usage, cohort: str, me: Person, zone: str) -> partial[Response]:
    return partial(
        do,
        back=f"/cohorts/{cohort}",
        zone=zone,
        show=lambda slip: _page(request, service, me, cohort, slip),
    )


def _page(
    request: Request,
    service: Usage,
    me: Person,
    cohort: str,
    slip: Slip = NO_SLIP,
    asked: Labs = _ALL,
) -> Response:
    role = role_in(service, me, cohort)
    row = cohort_of(service, cohort)
    with service.database.read() as session:
        page = desk.cohort_page(session, cohort)
        entries = desk.movements(session, cohort)
        outlook = forecast.outlook(entries, row.ends_at, service.clock.now(), asked.pace)
        return render(
            request,
            "usage/cohort.html",
            slip.status,
            page=page,
            labs=_labs(page.charges, asked, slip),
            outlook=outlook,
            burn=forecast.chart(entries, outlook),
            deletion=dates.of(row, request.app.state.settings.usage.keep_days),
            may_change=me.admin,
            may_answer=role in ("site", "instructor", "admin"),
            key=new_id("entry"),
            **words(request, slip),
        )


def _labs(charges: list[Charge], asked: Labs, slip: Slip) -> listing.Listing[Charge]:
    """The list of labs; the one whose refund was refused comes first."""
    lease = slip.typed.get("lease")
    if lease:
        charges = sorted(charges, key=lambda charge: charge.lease_id != lease)
    return listing.listed(charges, asked, lambda charge: (charge.username,), _SORTS, "labs")
