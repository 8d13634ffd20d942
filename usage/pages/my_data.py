"""What a person agreed to, to look up and, as far as it is optional, to withdraw."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from usage.api_internal import Service
from usage.pages.home import Me
from web import i18n
from web.pages import render

router = APIRouter()


@router.get("/my-data")
def show(request: Request, service: Service, me: Me, saved: str = "") -> Response:
    """The present text with this person's answers."""
    text = request.app.state.consent
    return render(
        request,
        "usage/my_data.html",
        consent=text,
        standing=service.consent_of(me.name, text),
        saved=bool(saved),
    )


@router.post("/my-data")
def change(
    request: Request, service: Service, me: Me, consent: Annotated[list[str] | None, Form()] = None
) -> Response:
    """Give or withdraw optional items; what is not ticked is withdrawn."""
    service.set_consent(me.name, request.app.state.consent, set(consent or []), i18n.language())
    return RedirectResponse("/services/usage/my-data?saved=yes", 303)
