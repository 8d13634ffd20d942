"""A cohort's GPU time: bookings, and requests for more."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import Response

from usage import forms
from usage.api_internal import Service, Zone
from usage.pages.admin.common import Admin, Me, do, role_in
from web.i18n import gettext as _

router = APIRouter()


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

    return do(request, service, zone, me, cohort, act)


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
    if role_in(service, me, cohort) not in ("site", "instructor", "admin"):
        raise HTTPException(403, _("Only instructors may answer requests."))
    return do(
        request,
        service,
        zone,
        me,
        cohort,
        lambda: service.decide(request_id, cohort, grant, me.name, me.admin),
    )
