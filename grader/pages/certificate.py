"""The certificate's public page, and an instructor's list with Revoke."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse

from core.clock import now
from grader import certificates
from grader.desk import AtDesk, InClass
from grader.models import Certificate
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]


@router.get("/certificates/{certificate}")
def verify(request: Request, desk: AtDesk, certificate: str) -> HTMLResponse:
    """Anyone with the link sees whether it is genuine and still stands. No sign-in."""
    with desk.database.read() as session:
        found = session.get(Certificate, certificate)
    if found is None:
        raise HTTPException(404, _("There is no such certificate."))
    course = desk.courses.get(found.course)
    return render(request, "grader/certificate.html", certificate=found, course=course)


@router.get("/courses/{course}/certificates")
def listed(request: Request, room: InClass) -> HTMLResponse:
    """Every certificate of a cohort."""
    course = room.course
    with room.desk.database.read() as session:
        given = certificates.of_class(session, course.id, room.cohort)
    return render(request, "grader/certificates.html", room=room, course=course, certificates=given)


@router.post("/certificates/{certificate}/revoke")
def revoke(desk: AtDesk, person: Someone, certificate: str) -> RedirectResponse:
    """Take it back, or give it again when it was taken back."""
    with desk.database.write() as session:
        found = session.get(Certificate, certificate)
        if found is None or not desk.access_of(person).may_teach(found.course, found.cohort):
            raise HTTPException(404, _("There is no such certificate."))
        found.revoked_at = None if found.revoked_at else now()
        found.revoked_by = person.name if found.revoked_at else ""
    path = f"/services/grader/courses/{found.course}/certificates?cohort={found.cohort}"
    return RedirectResponse(path, 303)
