"""What a trainee does on the home: start and stop a lab, wait for a GPU, ask for more, join."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from core.course import Lab
from core.wire import GpuNeed, ReserveRequest
from usage import home, texts
from usage.api_internal import Service, Zone
from usage.hub import HubDown, Server
from usage.pages.home import HOME, Me, hub_of, page
from usage.refusals import No
from usage.service import Usage
from web import i18n
from web.auth import Person
from web.i18n import gettext as _

router = APIRouter()


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
    mine = await run_in_threadpool(home.purses, service, me.name)
    problem = _cannot_start(request, mine, course, lab, cohort, gpu)
    if problem:
        return await page(request, service, me, problem, 409)
    options = {
        "course": course,
        "lab": lab,
        "cohort": cohort,
        "gpu": gpu,
        "language": i18n.language(),
    }
    try:
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
