"""A trainee's home: my courses, Start, the running lab, GPU time left."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from core.course import Lab
from usage import home, texts
from usage.api_internal import Service, Zone
from usage.hub import Hub, HubDown, Server
from usage.refusals import No
from web import i18n
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Me = Annotated[Person, Depends(signed_in)]

_HOME = "/services/usage/"


@router.get("/")
async def show(request: Request, service: Service, me: Me) -> Response:
    """The home."""
    return await _page(request, service, me)


@router.post("/start")
async def start(
    request: Request,
    service: Service,
    me: Me,
    course: Annotated[str, Form()],
    lab: Annotated[str, Form()],
    cohort: Annotated[str, Form()],
    gpu: Annotated[str, Form()] = "no",
) -> Response:
    """Ask the Hub for the lab and go to its pending page."""
    mine = await run_in_threadpool(home.purses, service, me.name)
    problem = _cannot_start(request, mine, course, lab, cohort, gpu)
    if problem:
        return await _page(request, service, me, problem, 409)
    options = {
        "course": course,
        "lab": lab,
        "cohort": cohort,
        "gpu": gpu,
        "language": i18n.language(),
    }
    try:
        server = await _hub(request).server(me.name)
        if server is None:
            await _hub(request).start(me.name, options)
        elif not _same(server, options):
            text = _("Another lab of yours is running. Stop it first, then start this one.")
            return await _page(request, service, me, text, 409)
        elif server.state == "ready":
            return RedirectResponse(server.url, 303)
    except HubDown:
        text = _(
            "The sign-in service does not answer right now, so no lab can be started. "
            "Try again in a minute."
        )
        return await _page(request, service, me, text, 503)
    return RedirectResponse(f"/hub/spawn-pending/{quote(me.name, safe='')}", 303)


@router.post("/stop")
async def stop(request: Request, service: Service, me: Me) -> Response:
    """Stop the person's own lab."""
    try:
        await _hub(request).stop(me.name)
    except HubDown:
        text = _(
            "The sign-in service does not answer right now, so the lab could not be stopped. "
            "Try again in a minute."
        )
        return await _page(request, service, me, text, 503)
    return RedirectResponse(_HOME, 303)


@router.post("/requests")
async def ask(
    request: Request,
    service: Service,
    zone: Zone,
    me: Me,
    minutes: Annotated[int, Form()],
    note: Annotated[str, Form()] = "",
) -> Response:
    """Ask the instructors for more GPU time."""
    try:
        await run_in_threadpool(service.ask_for_more, me.name, minutes, note)
    except No as no:
        return await _page(request, service, me, texts.sentence(no, zone), 409)
    return RedirectResponse(_HOME, 303)


def _hub(request: Request) -> Hub:
    found = request.app.state.hub
    assert isinstance(found, Hub)
    return found


def _cannot_start(
    request: Request, mine: list[home.Purse], course: str, lab: str, cohort: str, gpu: str
) -> str:
    """Why this form cannot be right; empty when it can. The lease decides the rest."""
    found = request.app.state.courses.get(course)
    purse = next((p for p in mine if p.id == cohort and course in p.courses), None)
    if found is None or purse is None:
        return _("You are not enrolled in this course. Ask your instructor.")
    if not purse.open:
        return _("%(cohort)s is not open now.") % {"cohort": purse.name}
    wanted: Lab | None = found.lab(lab)
    if wanted is None:
        return _("This course has no such lab. Choose one of those listed.")
    allowed = {"none": ("no",), "optional": ("yes", "no"), "required": ("yes", "no")}
    if gpu not in allowed[wanted.gpu.need]:
        return _("This lab runs without a GPU. Start it that way.")
    return ""


def _same(server: Server, options: dict[str, str]) -> bool:
    keys = ("course", "lab", "gpu")
    return server.state != "stopping" and all(server.options.get(k) == options[k] for k in keys)


async def _page(
    request: Request, service: Service, me: Person, problem: str = "", status: int = 200
) -> Response:
    hub_down = False
    server: Server | None = None
    try:
        server = await _hub(request).server(me.name)
    except HubDown:
        hub_down = True
    return await run_in_threadpool(_render, request, service, me, server, hub_down, problem, status)


def _render(
    request: Request,
    service: Service,
    me: Person,
    server: Server | None,
    hub_down: bool,
    problem: str,
    status: int,
) -> Response:
    courses = request.app.state.courses
    mine = home.purses(service, me.name)
    return render(
        request,
        "usage/home.html",
        status,
        problem=problem,
        hub_down=hub_down,
        purses=mine,
        courses=home.shown_courses(courses, mine),
        running=home.running(service, courses, me.name, server),
        gpus=home.gpu_kinds(service),
        teaching=[p for p in mine if p.role in home.STAFF],
        gpu_time=texts.gpu_time,
    )
