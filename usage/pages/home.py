"""A trainee's home and course pages: what is due, my labs, the queue, GPU time left, all live."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response, StreamingResponse

from usage import history, home, texts
from usage.api_internal import Service
from usage.hub import Hub, HubDown, Server
from usage.pulse import Pulse
from usage.service import Usage
from web import live
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Me = Annotated[Person, Depends(signed_in)]

HOME = "/services/usage/"


@router.get("/")
async def show(request: Request, service: Service, me: Me) -> Response:
    """The home."""
    return await page(request, service, me)


@router.get("/courses/{course}")
async def course(request: Request, service: Service, me: Me, course: str) -> Response:
    """One course of the person's."""
    return await page(request, service, me, course=course)


@router.get("/events")
async def events(request: Request, service: Service, me: Me) -> StreamingResponse:
    """What changes by itself on the home: queue, running lab, GPU time left."""
    pulse: Pulse = request.app.state.pulse
    known: list[tuple[Hashable, str]] = []

    async def part() -> str:
        look = await pulse.look()
        mark = look.mark(me.name)
        if not known or known[0][0] != mark:
            server = look.servers.get(me.name) if look.servers is not None else None
            shown = _context(request, service, me, server, look.servers is None)
            drawn = await run_in_threadpool(lambda: render(request, "usage/live.html", **shown()))
            known[:] = [(mark, bytes(drawn.body).decode())]
        return known[0][1]

    return live.stream(request, part)


@router.get("/cohorts/{cohort}/days")
def days(request: Request, service: Service, me: Me, cohort: str) -> HTMLResponse:
    """The small chart of a cohort's and a person's GPU time."""
    mine = {purse.id: purse for purse in home.purses(service, me.name)}
    if cohort not in mine:
        raise HTTPException(404)
    with service.database.read() as session:
        shown = history.days_of(session, cohort, me.name, service.clock.now())
    return render(request, "usage/days.html", purse=mine[cohort], shown=shown)


def hub_of(request: Request) -> Hub:
    """The Hub's API."""
    found = request.app.state.hub
    assert isinstance(found, Hub)
    return found


def coarse(seconds: int) -> int:
    """A time for a part that is drawn anew once a minute: whole minutes, but at its end."""
    return seconds // 60 * 60 if seconds >= 120 else seconds


async def page(
    request: Request,
    service: Usage,
    me: Person,
    problem: str = "",
    status: int = 200,
    course: str = "",
) -> Response:
    """The home, or one course of it, with what went wrong."""
    hub_down = False
    server: Server | None = None
    try:
        server = await hub_of(request).server(me.name)
    except HubDown:
        hub_down = True
    context = _context(request, service, me, server, hub_down)

    def drawn() -> Response:
        shown = context()
        if not course:
            return render(request, "usage/home.html", status, problem=problem, **shown)
        item = next((one for one in shown["courses"] if one.course.id == course), None)
        if item is None:
            raise HTTPException(404, _("You are not enrolled in this course. Ask your instructor."))
        return render(
            request, "usage/course_page.html", status, problem=problem, item=item, **shown
        )

    return await run_in_threadpool(drawn)


def _context(
    request: Request, service: Usage, me: Person, server: Server | None, hub_down: bool
) -> Callable[[], dict[str, Any]]:
    """What the templates show; it asks the database, so call it in a thread."""

    def gathered() -> dict[str, Any]:
        courses = request.app.state.courses
        mine = home.purses(service, me.name)
        return {
            "hub_down": hub_down,
            "purses": mine,
            "told": home.told(service, me.name),
            "courses": home.shown_courses(courses, mine),
            "running": home.running(service, courses, me.name, server),
            "queue": home.queued(service, courses, me.name),
            "gpus": home.gpu_kinds(service),
            "gpu_time": texts.gpu_time,
            "coarse": coarse,
        }

    return gathered
