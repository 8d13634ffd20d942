"""The audit log of coursework, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from grader.audit import AuditRow, details, words
from grader.desk import AtDesk
from store import audit
from web.auth import Person, admin_only
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()


@router.get("/audit")
def show(
    request: Request,
    desk: AtDesk,
    _me: Annotated[Person, Depends(admin_only)],
    asked: Annotated[audit.Query, Query()],
) -> Response:
    """One page of the log, newest first."""
    zone = request.app.state.settings.site.timezone
    with desk.database.read() as session:
        context = audit.shown(session, AuditRow, asked, zone)
    return render(
        request,
        "grader/audit.html",
        words=words,
        details=details,
        scope_name=_("Course"),
        scopes={},
        base="/services/grader/audit",
        **context,
    )
