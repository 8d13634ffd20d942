"""The certificate's public page, PDF and badge, and an instructor's list with Revoke.

What is public here needs no sign-in: a certificate's id cannot be guessed.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from sqlalchemy import select
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.clock import now
from grader import audit, certificates
from grader.certificates import badge, paper
from grader.desk import AtDesk, Desk, InClass
from grader.models import Certificate
from web.assets import AssetError
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.i18n import language
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]
_PUBLIC = {"Access-Control-Allow-Origin": "*"}
"""Verifiers run in browsers of other sites; nothing here depends on who asks."""


@router.get("/certificates/{certificate}")
def verify(request: Request, desk: AtDesk, certificate: str) -> HTMLResponse:
    """Anyone with the link sees whether it is genuine and still stands. No sign-in."""
    found = _certificate(desk, certificate)
    title = badge.title_of(found, language())
    return render(request, "grader/certificate.html", certificate=found, title=title)


@router.get("/certificates/{certificate}/pdf")
def as_pdf(desk: AtDesk, certificate: str) -> Response:
    """The certificate to print. Refused once it was revoked."""
    found = _standing(desk, certificate)
    settings = desk.settings
    address = f"{settings.public_url}/services/grader/certificates/{found.id}"
    try:
        made = paper.make(
            found, settings.state_dir, settings.site.name, address, settings.site.timezone
        )
    except AssetError:
        raise HTTPException(
            503, _("PDF files cannot be made right now. Ask whoever runs this site.")
        ) from None
    name = f"certificate-{found.course}.pdf"
    head = {"Content-Disposition": f'inline; filename="{name}"', "Cache-Control": "no-store"}
    return Response(made, media_type="application/pdf", headers=head)


@router.get("/certificates/{certificate}/badge")
def as_badge(desk: AtDesk, certificate: str) -> Response:
    """The certificate as an Open Badges 3.0 credential, signed (VC-JWT). Refused once revoked."""
    found = _standing(desk, certificate)
    token = badge.signed(desk.settings, found, desk.settings.site.language)
    head = {"Content-Disposition": f'attachment; filename="badge-{found.course}.jwt"'}
    return Response(token, media_type="application/vc+jwt", headers={**head, **_PUBLIC})


@router.get("/badges/issuer")
def issuer(desk: AtDesk, response: Response) -> dict[str, Any]:
    """Who issues the badges."""
    response.headers.update(_PUBLIC)
    return badge.issuer(desk.settings)


@router.get("/badges/keys")
def keys(desk: AtDesk, response: Response) -> dict[str, Any]:
    """The public key as a JSON Web Key Set."""
    response.headers.update(_PUBLIC)
    return {"keys": [badge.public_key(desk.settings)]}


@router.get("/badges/keys/{key}")
def one_key(desk: AtDesk, response: Response, key: str) -> dict[str, Any]:
    """The public key that a badge names."""
    found = badge.public_key(desk.settings)
    if found["kid"] != key:
        raise HTTPException(404, _("There is no such key."))
    response.headers.update(_PUBLIC)
    return found


@router.get("/badges/revoked")
def revoked(desk: AtDesk, response: Response) -> dict[str, Any]:
    """Which badges no longer hold."""
    with desk.database.read() as session:
        query = select(Certificate).where(Certificate.revoked_at.is_not(None))
        found = list(session.scalars(query.order_by(Certificate.revoked_at)))
    response.headers.update(_PUBLIC)
    return badge.revoked(desk.settings, found)


@router.get("/badges/courses/{course}")
def achievement(desk: AtDesk, response: Response, course: str) -> dict[str, Any]:
    """What a badge of a course stands for."""
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, _("There is no such course or assignment."))
    response.headers.update(_PUBLIC)
    titles = found.title.model_dump()
    return badge.achievement(desk.settings, course, titles, desk.settings.site.language)


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
        act = "certificate.revoke" if found.revoked_at else "certificate.restore"
        audit.note(session, person.name, act, f"{found.course}/{found.cohort}", found.username)
    path = f"/services/grader/courses/{found.course}/certificates?cohort={found.cohort}"
    return RedirectResponse(path, 303)


def _certificate(desk: Desk, certificate: str) -> Certificate:
    """By id, with its holder's name as far as it is known, else 404."""
    with desk.database.read() as session:
        found = session.get(Certificate, certificate)
    if found is None:
        raise HTTPException(404, _("There is no such certificate."))
    if not found.name:
        names = {member.username: member.name for member in desk.members(found.cohort)}
        if names.get(found.username):
            with desk.database.write() as session:
                found = session.merge(found)
                found.name = names[found.username]
    return found


def _standing(desk: Desk, certificate: str) -> Certificate:
    """As `_certificate`; 410 for one that was revoked."""
    found = _certificate(desk, certificate)
    if found.revoked_at:
        raise HTTPException(410, _("This certificate was revoked."))
    return found
