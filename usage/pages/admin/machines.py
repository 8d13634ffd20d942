"""GPUs and what runs on them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException
from starlette.responses import RedirectResponse, Response

from usage import texts
from usage.api_internal import Service, Zone
from usage.pages.admin.common import BASE, Admin
from usage.refusals import No

router = APIRouter()


@router.post("/slots")
def drain(
    service: Service,
    zone: Zone,
    me: Admin,
    slot: Annotated[str, Form()],
    drained: Annotated[bool, Form()],
) -> Response:
    """Keep new labs off a slot, or let them on again."""
    try:
        service.set_slot_mode(slot, "drained" if drained else "open", me.name)
    except No as no:
        raise HTTPException(404, texts.sentence(no, zone)) from no
    return RedirectResponse(BASE, 303)
