"""What a trainee does on the home: start and stop a lab, wait for a GPU, ask for more, join."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from core.course import Lab
from core.wire import GpuNeed, ReserveRequest
from usage import home, texts
from usage.api_internal import Service, Zone
from usage.hub import Hub, HubDown, Server
from usage.pages.home import HOME, Me, hub_of, page
from usage.refusals import No
from usage.service import Usage
from web import i18n
from web.auth import Person
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()

_STOP_S = 30
"""So long a lab may take to stop before its successor is refused."""


@router.post("/queue/leave")
async def leave(service: Service, me: Me) -> Response:
    """Stop waiting for a GPU."""
    await run_in_threadpool(service.leave_queue, me.name)
    return RedirectResponse(HOME, 303)


@router.post("/start")
async def start(
    request: Request,
    service: Service,
    zone: Zone,
    me: Me,
    course: Annotated[str, Form()],
    lab: Annotated[str, Form()],
    cohort: Annotated[str, Form()],
    gpu: Annotated[str, Form()] = "no",
) -> Response:
    """Ask the Hub for the lab and go to its pending page."""
    return await _launch(request, service, zone, me, _options(course, lab, cohort, gpu))


@router.get("/continue")
def offer_to_continue(
    request: Request, _me: Me, course: str = "", lab: str = "", cohort: str = ""
) -> Response:
    """Where JupyterLab sends somebody whose GPU time is over: it goes on by itself from there."""
    ours = request.headers.get("sec-fetch-site") == "same-origin"
    wanted = {"course": course, "lab": lab, "cohort": cohort}
    return render(request, "usage/continue.html", wanted=wanted, at_once=ours)


@router.post("/continue")
async def go_on(
    request: Request,
    service: Service,
    zone: Zone,
    me: Me,
    course: Annotated[str, Form()],
    lab: Annotated[str, Form()],
    cohort: Annotated[str, Form()],
) -> Response:
    """The same lab without a GPU, on the same files; what is left of the GPU lab is stopped."""
    options = _options(course, lab, cohort, "no")
    return await _launch(request, service, zone, me, options, instead_of_gpu=True)


def _options(course: str, lab: str, cohort: str, gpu: str) -> dict[str, str]:
    language = i18n.language()
    return {"course": course, "lab": lab, "cohort": cohort, "gpu": gpu, "language": language}


async def _launch(
    request: Request,
    service: Usage,
    zone: str,
    me: Person,
    options: dict[str, str],
    instead_of_gpu: bool = False,
) -> Response:
    """Start the lab and go to its pending page, or show the home with why not."""
    mine = await run_in_threadpool(home.purses, service, me.name)
    problem = _cannot_start(request, mine, options)
    if problem:
        return await page(request, service, me, problem, 409)
    try:
        if instead_of_gpu:
            await _end_gpu_lab(hub_of(request), me, options)
        return RedirectResponse(await _begin(request, service, me, options), 303)
    except _OtherLab:
        text = _("Another lab of yours is running. Stop it first, then start this one.")
        return await page(request, service, me, text, 409)
    except No as no:
        return await page(request, service, me, texts.sentence(no, zone), 409)
    except HubDown:
        text = _(
            "The sign-in service does not answer right now, so no lab can be started. "
            "Try again in a minute."
        )
        return await page(request, service, me, text, 503)


async def _end_gpu_lab(hub: Hub, me: Person, options: dict[str, str]) -> None:
    """Stop this lab if it runs with a GPU, and wait until it is gone. Raises HubDown."""
    for _try in range(_STOP_S * 2):
        server = await hub.server(me.name)
        same = server is not None and all(
            server.options.get(key) == options[key] for key in ("course", "lab")
        )
        if server is None or not same or server.options.get("gpu") != "yes":
            return
        if server.state != "stopping":
            await hub.stop(me.name)
        await asyncio.sleep(0.5)


class _OtherLab(Exception):
    """The person has another lab than the one asked for."""


async def _begin(request: Request, service: Usage, me: Person, options: dict[str, str]) -> str:
    """Start the lab, or stand in the queue for it; where to go. Raises HubDown, No, _OtherLab."""
    server = await hub_of(request).server(me.name)
    if server is None:
        if options["gpu"] == "yes" and await run_in_threadpool(
            _must_wait, request, service, me, options
        ):
            return HOME
        await hub_of(request).start(me.name, options)
    elif not _same(server, options):
        raise _OtherLab
    elif server.state == "ready":
        return server.url
    return f"/hub/spawn-pending/{quote(me.name, safe='')}"


@router.post("/stop")
async def stop(request: Request, service: Service, me: Me) -> Response:
    """Stop the person's own lab."""
    try:
        await hub_of(request).stop(me.name)
    except HubDown:
        text = _(
            "The sign-in service does not answer right now, so the lab could not be stopped. "
            "Try again in a minute."
        )
        return await page(request, service, me, text, 503)
    return RedirectResponse(HOME, 303)


@router.post("/join")
async def join(
    request: Request, service: Service, zone: Zone, me: Me, code: Annotated[str, Form()]
) -> Response:
    """Join one more cohort by its event code, as somebody who has an account."""
    try:
        found = await run_in_threadpool(service.join, code[:200], me.name, "", "")
    except No as no:
        return await page(request, service, me, texts.sentence(no, zone), 409)
    return RedirectResponse(course_page(found.courses), 303)


def course_page(courses: list[str]) -> str:
    """Where somebody lands who has just joined: their course, or all of them."""
    return f"{HOME}courses/{courses[0]}" if len(courses) == 1 else HOME


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
        return await page(request, service, me, texts.sentence(no, zone), 409)
    return RedirectResponse(HOME, 303)


def _cannot_start(request: Request, mine: list[home.Purse], options: dict[str, str]) -> str:
    """Why this form cannot be right; empty when it can. The lease decides the rest."""
    course, cohort = options["course"], options["cohort"]
    found = request.app.state.courses.get(course)
    purse = next((p for p in mine if p.id == cohort and course in p.courses), None)
    if found is None or purse is None:
        return _("You are not enrolled in this course. Ask your instructor.")
    if not purse.open:
        return _("%(cohort)s is not open now.") % {"cohort": purse.name}
    wanted: Lab | None = found.lab(options["lab"])
    if wanted is None:
        return _("This course has no such lab. Choose one of those listed.")
    allowed = {"none": ("no",), "optional": ("yes", "no"), "required": ("yes", "no")}
    if options["gpu"] not in allowed[wanted.gpu.need]:
        return _("This lab runs without a GPU. Start it that way.")
    return ""


def _must_wait(request: Request, service: Usage, me: Person, options: dict[str, str]) -> bool:
    """True when no GPU is free: the person stands in the queue now. Raises No."""
    lab = request.app.state.courses[options["course"]].lab(options["lab"])
    need = GpuNeed(lab.gpu.isolation, lab.gpu.memory_mb, lab.gpu.count)
    return service.wants_place(
        ReserveRequest(
            "",
            me.name,
            options["cohort"],
            options["course"],
            options["lab"],
            need,
            options["language"],
        )
    )


def _same(server: Server, options: dict[str, str]) -> bool:
    keys = ("course", "lab", "gpu")
    return server.state != "stopping" and all(server.options.get(k) == options[k] for k in keys)
