"""Machines: GPUs with who holds them, running labs, the queue. Live."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from core.wire import SlotMode
from usage import fleet, forms, texts
from usage.api_internal import Service, Zone
from usage.hub import Hub, HubDown
from usage.pages.admin.common import BASE, NO_SLIP, Admin, Slip, slip, words
from usage.pulse import Pulse
from usage.refusals import No
from usage.service import Usage
from web import live
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()

_EVERY_S = 2.0


@router.get("/machines")
async def show(request: Request, service: Service, _me: Admin) -> Response:
    """The whole page."""
    return await _page(request, service)


@router.get("/machines/events")
def events(request: Request, service: Service, _me: Admin) -> StreamingResponse:
    """The live part, whenever something changed."""

    async def part() -> str:
        context = await _context(request, service)
        return bytes(render(request, "usage/machines_live.html", **context).body).decode()

    return live.stream(request, part, _EVERY_S)


@router.post("/slots")
async def set_mode(
    request: Request,
    service: Service,
    zone: Zone,
    me: Admin,
    slot: Annotated[str, Form()],
    mode: Annotated[SlotMode, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Keep new labs off a slot or a whole GPU, stop its labs as well, or let labs on again, which
    alone needs no reason."""
    try:
        why = forms.given(reason) if reason.strip() or mode != "open" else ""
    except No as no:
        typed = {"slot": slot, "reason": reason}
        return await _page(request, service, slip(no, zone, "slots", typed))
    try:
        await run_in_threadpool(service.set_slot_mode, slot, mode, me.name, why)
    except No as no:
        raise HTTPException(404, texts.sentence(no, zone)) from no
    return RedirectResponse(f"{BASE}/machines", 303)


@router.post("/machines/stop")
async def stop(
    request: Request,
    service: Service,
    zone: Zone,
    me: Admin,
    username: Annotated[str, Form(max_length=255)],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Stop somebody's lab. What is saved stays on the person's volume."""
    try:
        why = forms.given(reason)
    except No as no:
        typed = {"username": username, "reason": reason}
        return await _page(request, service, slip(no, zone, "stop", typed))
    hub: Hub = request.app.state.hub
    try:
        await hub.stop(username)
    except HubDown:
        said = _("The Hub does not answer, so the lab was not stopped. Try again in a minute.")
        return await _page(request, service, Slip(said))
    await run_in_threadpool(service.note, me.name, "lab.stop", "", username, why)
    pulse: Pulse = request.app.state.pulse
    pulse.forget()
    return RedirectResponse(f"{BASE}/machines", 303)


async def _page(request: Request, service: Usage, refused: Slip = NO_SLIP) -> Response:
    context = await _context(request, service, refused)
    return render(request, "usage/machines.html", refused.status, **context)


async def _context(request: Request, service: Usage, refused: Slip = NO_SLIP) -> dict[str, Any]:
    pulse: Pulse = request.app.state.pulse
    servers = (await pulse.look()).servers

    def read() -> fleet.Fleet:
        with service.database.read() as session:
            looks = service.outlooks(session)
            return fleet.gather(session, servers, looks, service.rules, service.clock)

    strays = service.strays.all(service.clock.boot_ms())
    return {"fleet": await run_in_threadpool(read), "strays": strays, **words(request, refused)}
