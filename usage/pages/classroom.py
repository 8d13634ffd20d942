"""The live class view of a cohort's staff, and what they do there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from core.course import Course
from usage import audit, texts, views
from usage.api_internal import Service, Zone
from usage.classroom import announcements, labs, roll
from usage.classroom.board import Board
from usage.hub import Hub, HubDown
from usage.models import Membership
from usage.pages.admin.common import Me, check_may_answer, may_answer, role_in
from usage.refusals import No
from usage.service import Usage
from web import formats, live
from web.auth import Person
from web.i18n import gettext as _
from web.pages import render

router = APIRouter(prefix="/classes")

_BASE = "/services/usage/classes"
_EVERY_S = 2.0
_SHOWN = ("all", "help", "off")


def _class_of(service: Service, me: Me, cohort: str) -> str:
    """The cohort's id, for its staff and for admins; others get 404."""
    role_in(service, me, cohort)
    return cohort


Class = Annotated[str, Depends(_class_of)]


@router.get("/{cohort}")
async def show(
    request: Request,
    cohort: Class,
    service: Service,
    me: Me,
    course: str = "",
    show: str = "all",
    done: str = "",
) -> Response:
    """The whole page."""
    context = await _context(request, service, me, cohort, course, show)
    return render(request, "usage/class.html", done=_done(done), problem="", **context)


@router.get("/{cohort}/events")
def events(
    request: Request,
    cohort: Class,
    service: Service,
    me: Me,
    course: str = "",
    show: str = "all",
) -> StreamingResponse:
    """The live part of the page, whenever something changed."""

    async def part() -> str:
        await run_in_threadpool(role_in, service, me, cohort)
        context = await _context(request, service, me, cohort, course, show)
        return bytes(render(request, "usage/class_live.html", **context).body).decode()

    return live.stream(request, part, _EVERY_S)


@router.post("/{cohort}/stop")
async def stop(
    request: Request,
    cohort: Class,
    service: Service,
    zone: Zone,
    me: Me,
    username: Annotated[str, Form(max_length=255)],
) -> Response:
    """Stop a learner's lab. Their files stay."""

    async def act() -> str:
        await run_in_threadpool(_learner, service, cohort, username)
        await _hub(request).stop(username)
        await run_in_threadpool(_note, service, me, "lab.stop", cohort, username)
        return "stopped"

    return await _do(request, service, zone, me, cohort, act)


@router.post("/{cohort}/restart")
async def restart(
    request: Request,
    cohort: Class,
    service: Service,
    zone: Zone,
    me: Me,
    username: Annotated[str, Form(max_length=255)],
) -> Response:
    """Stop a learner's lab and start the same one again."""

    async def act() -> str:
        await run_in_threadpool(_learner, service, cohort, username)
        if not await labs.restart(_hub(request), username, me.name):
            return "no-lab"
        await run_in_threadpool(_note, service, me, "lab.restart", cohort, username)
        return "restarted"

    return await _do(request, service, zone, me, cohort, act)


@router.post("/{cohort}/extend")
async def extend(
    request: Request,
    cohort: Class,
    service: Service,
    zone: Zone,
    me: Me,
    username: Annotated[str, Form(max_length=255)],
) -> Response:
    """More GPU time for a running lab, out of the cohort's allowance."""

    def give() -> str:
        check_may_answer(service, me, cohort)
        _learner(service, cohort, username)
        with service.database.write() as session:
            labs.extend(session, cohort, username, me.name, me.admin, service.clock)
        return "extended"

    return await _do(request, service, zone, me, cohort, lambda: run_in_threadpool(give))


@router.post("/{cohort}/requests/{request_id}")
async def decide(
    request: Request,
    cohort: Class,
    request_id: str,
    service: Service,
    zone: Zone,
    me: Me,
    grant: Annotated[bool, Form()],
) -> Response:
    """Answer a learner's request for more GPU time."""

    def answer() -> str:
        check_may_answer(service, me, cohort)
        service.decide(request_id, cohort, grant, me.name, me.admin)
        return "granted" if grant else "declined"

    return await _do(request, service, zone, me, cohort, lambda: run_in_threadpool(answer))


@router.post("/{cohort}/prestart")
async def prestart(
    request: Request,
    cohort: Class,
    service: Service,
    zone: Zone,
    me: Me,
    lab: Annotated[str, Form(max_length=100)],
    minutes: Annotated[int, Form()] = 30,
) -> Response:
    """Start a lab (``course/lab``) for every learner who has none."""

    def begin() -> str:
        course, _slash, name = lab.partition("/")
        found = request.app.state.courses.get(course)
        if found is None or found.lab(name) is None:
            raise HTTPException(422, _("This course has no such lab. Choose one of those listed."))
        service.prestart(cohort, course, name, me.name, minutes)
        return "prestarted"

    return await _do(request, service, zone, me, cohort, lambda: run_in_threadpool(begin))


@router.post("/{cohort}/prestart/cancel")
async def cancel(request: Request, cohort: Class, service: Service, zone: Zone, me: Me) -> Response:
    """Start no more, and return what nobody has opened."""

    def stop_it() -> str:
        service.cancel_prestart(cohort, me.name)
        return "cancelled"

    return await _do(request, service, zone, me, cohort, lambda: run_in_threadpool(stop_it))


@router.post("/{cohort}/announcements")
async def announce(
    request: Request,
    cohort: Class,
    service: Service,
    zone: Zone,
    me: Me,
    text: Annotated[str, Form()] = "",
    hours: Annotated[int, Form()] = 4,
) -> Response:
    """Tell everybody of the cohort something."""

    def say() -> str:
        with service.database.write() as session:
            announcements.say(session, cohort, text, hours, me.name, service.clock)
        return "announced"

    return await _do(request, service, zone, me, cohort, lambda: run_in_threadpool(say), text)


@router.post("/{cohort}/announcements/{announcement}/withdraw")
async def withdraw(
    request: Request, cohort: Class, announcement: str, service: Service, zone: Zone, me: Me
) -> Response:
    """Take an announcement back."""

    def take_back() -> str:
        with service.database.write() as session:
            announcements.withdraw(session, announcement, cohort, me.name, service.clock)
        return "withdrawn"

    return await _do(request, service, zone, me, cohort, lambda: run_in_threadpool(take_back))


async def _do(
    request: Request,
    service: Usage,
    zone: str,
    me: Person,
    cohort: str,
    act: Callable[[], Awaitable[str]],
    typed: str = "",
) -> Response:
    """Act and show the class again; a refusal is shown there, with what was typed."""
    try:
        done = await act()
    except No as no:
        problem, status = texts.sentence(no, zone), 409
    except HubDown:
        problem, status = _hub_down(), 503
    else:
        request.app.state.board.forget()
        return RedirectResponse(f"{_BASE}/{cohort}?done={done}", 303)
    context = await _context(request, service, me, cohort, "", "all")
    return render(
        request, "usage/class.html", status, done="", problem=problem, **{**context, "typed": typed}
    )


async def _context(
    request: Request, service: Usage, me: Person, cohort: str, course: str, show: str
) -> dict[str, Any]:
    board: Board = request.app.state.board
    courses: dict[str, Course] = request.app.state.courses
    found = await board.roll(cohort)
    offered = [courses[one] for one in found.cohort.courses if one in courses]
    chosen = next((c for c in offered if c.id == course), None) or _busiest(found, offered)
    progress = await board.progress(chosen.id, cohort) if chosen else None
    now = service.clock.now().replace(second=0, microsecond=0)
    told = await run_in_threadpool(_told, service, cohort)
    batches = await run_in_threadpool(service.prestarts, cohort)
    show = show if show in _SHOWN else "all"
    return {
        "cohort": found.cohort,
        "roll": found,
        "rows": [row for row in found.rows if _wanted(row, show)],
        "course": chosen,
        "offered": offered,
        "courses": courses,
        "progress": progress,
        "show": show,
        "told": told,
        "batch": batches[0] if batches else None,
        "typed": "",
        "ago": lambda at: _ago(at, now),
        "until": lambda stop: _minutes(stop.in_ms),
        "gpu_time": texts.gpu_time,
        "reason": texts.reason,
        "base": f"{_BASE}/{cohort}",
        "query": f"course={chosen.id if chosen else ''}&show={show}",
        "may_give": may_answer(service, me, cohort),
        "more_helps": roll.MORE_HELPS,
        "extend_minutes": labs.EXTEND_MINUTES,
        "hours": announcements.HOURS,
    }


def _busiest(found: roll.Roll, offered: list[Course]) -> Course | None:
    """The course that most labs are in now, else the first."""
    labs_in = Counter(row.lab.course for row in found.rows)
    return max(offered, key=lambda one: labs_in[one.id], default=None)


def _told(service: Usage, cohort: str) -> list[announcements.Told]:
    with service.database.read() as session:
        return announcements.listed(session, cohort, service.clock)


def _wanted(row: roll.Row, show: str) -> bool:
    if show == "help":
        return row.needs_help
    return show == "all" or row.lab.state in (roll.OFF, roll.WAITING, roll.OFFERED)


def _ago(at: datetime, now: datetime) -> str:
    """By whole minutes, so that the page changes once a minute and not all the time."""
    passed = now - at
    if passed < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": formats.duration(passed.total_seconds() // 60 * 60, 1)}


def _minutes(left_ms: int) -> str:
    seconds = left_ms // 1000
    return formats.duration(seconds // 60 * 60 if seconds >= 120 else seconds // 10 * 10)


def _learner(service: Usage, cohort: str, username: str) -> None:
    """Only labs of this class's members can be reached from here. Raises No."""
    with service.database.read() as session:
        row = session.get(Membership, (cohort, username))
        if row is None or row.removed_at is not None:
            raise No("not_enrolled", cohort=views.cohort(session, cohort).name)


def _note(service: Usage, me: Person, action: str, cohort: str, username: str) -> None:
    """Into the audit log."""
    with service.database.write() as session:
        audit.note(session, service.clock, me.name, action, cohort, username)


def _hub(request: Request) -> Hub:
    found = request.app.state.hub
    assert isinstance(found, Hub)
    return found


def _hub_down() -> str:
    return _(
        "The sign-in service does not answer right now, so no lab can be changed. "
        "Try again in a minute."
    )


def _done(code: str) -> str:
    """What was just done, as a sentence; empty for anything else."""
    return {
        "stopped": _("The lab is being stopped. Files stay, and it can be started again."),
        "restarted": _("The lab is being stopped and will start again by itself."),
        "no-lab": _("This person has no running lab."),
        "extended": _("GPU time was added."),
        "granted": _("The request was approved."),
        "declined": _("The request was declined."),
        "announced": _("Your announcement is on its way to every lab and home page."),
        "withdrawn": _("The announcement was taken back."),
        "prestarted": _("The labs are being started. Learners who come find theirs ready."),
        "cancelled": _("No further labs are started; those nobody opened are returned."),
    }.get(code, "")
