"""Who is in a cohort: event codes and members."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from usage import forms, views
from usage.api_internal import Service, Zone
from usage.pages.admin.common import Admin, do

router = APIRouter()


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

    return do(request, service, zone, me, cohort, act)


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
    return do(
        request,
        service,
        zone,
        me,
        cohort,
        lambda: service.enrol(cohort, form.username.strip(), form.role, name=form.name.strip()),
    )
