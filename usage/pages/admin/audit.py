"""The audit log."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from starlette.responses import Response

from store import audit
from usage import reasons
from usage.api_internal import Service, Zone
from usage.audit import AuditRow, details, words
from usage.models import Cohort
from usage.pages.admin.common import BASE, Admin
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()


@router.get("/audit")
def show(
    request: Request,
    service: Service,
    zone: Zone,
    _me: Admin,
    asked: Annotated[audit.Query, Query()],
) -> Response:
    """One page of the log, newest first."""
    with service.database.read() as session:
        context = audit.shown(session, AuditRow, asked, zone)
        names = session.execute(select(Cohort.id, Cohort.name).order_by(Cohort.name, Cohort.id))
        scopes = {row.id: row.name for row in names}
    return render(
        request,
        "usage/audit.html",
        words=words,
        details=partial(details, zone=zone),
        written=reasons.said,
        scope_name=_("Cohort"),
        scopes=scopes,
        base=f"{BASE}/audit",
        **context,
    )
