"""The live class view of a cohort's staff, and what they do there."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Classroom:
    """A cohort's class, opened by one of its staff or an admin."""

    request: Request
    cohort: str
    service: Usage
    me: Person
    zone: str

    @property
    def hub(self) -> Hub:
        """Starts and stops labs."""
        found = self.request.app.state.hub
        assert isinstance(found, Hub)
        return found

    def learner(self, username: str) -> None:
        """Only labs of this class's members can be reached from here. Raises No."""
        with self.service.database.read() as session:
            row = session.get(Membership, (self.cohort, username))
            if row is None or row.removed_at is not None:
                raise No("not_enrolled", cohort=views.cohort(session, self.cohort).name)

    def note(self, action: str, username: str) -> None:
        """Into the audit log."""
        with self.service.database.write() as session:
            audit.note(session, self.service.clock, self.me.name, action, self.cohort, username)

    async def do(self, act: Callable[[], str | Awaitable[str]], typed: str = "") -> Response:
        """Act and show the class again; a refusal is shown there, with what was `typed`.

        `act` gives the code of what was done (`_done`); a plain function runs in a thread.
        """
        try:
            if inspect.iscoroutinefunction(act):
                done = await act()
            else:
                done = await run_in_threadpool(act)
        except No as no:
            problem, status = texts.sentence(no, self.zone), 409
        except HubDown:
            problem, status = _hub_down(), 503
        else:
            self.request.app.state.board.forget()
            return RedirectResponse(f"{_BASE}/{self.cohort}?done={done}", 303)
        context = await self.context("", "all")
        shown = {**context, "done": "", "problem": problem, "typed": typed}
        return render(self.request, "usage/class.html", status, **shown)

    async def context(self, course: str, show: str) -> dict[str, Any]:
        """What the page shows: progress in `course`, and which learners."""
        service = self.service
        board: Board = self.request.app.state.board
        courses: dict[str, Course] = self.request.app.state.courses
        found = await board.roll(self.cohort)
        offered = [courses[one] for one in found.cohort.courses if one in courses]
        chosen = next((c for c in offered if c.id == course), None) or _busiest(found, offered)
        progress = await board.progress(chosen.id, self.cohort) if chosen else None
        now = service.clock.now().replace(second=0, microsecond=0)
        told = await run_in_threadpool(_told, service, self.cohort)
        batches = await run_in_threadpool(service.prestarts, self.cohort)
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
            "base": f"{_BASE}/{self.cohort}",
            "query": f"course={chosen.id if chosen else ''}&show={show}",
            "may_give": may_answer(service, self.me, self.cohort),
            "more_helps": roll.MORE_HELPS,
            "extend_minutes": labs.EXTEND_MINUTES,
            "hours": announcements.HOURS,
        }


def _classroom(request: Request, cohort: str, service: Service, me: Me, zone: Zone) -> Classroom:
    """For the cohort's staff and for admins; others get 404."""
    role_in(service, me, cohort)
    return Classroom(request, cohort, service, me, zone)


Class = Annotated[Classroom, Depends(_classroom)]
Learner = Annotated[str, Form(max_length=255)]


@router.get("/{cohort}")
async def show(room: Class, course: str = "", show: str = "all", done: str = "") -> Response:
    """The whole page."""
    context = await room.context(course, show)
    return render(room.request, "usage/class.html", done=_done(done), problem="", **context)


@router.get("/{cohort}/events")
def events(room: Class, course: str = "", show: str = "all") -> StreamingResponse:
    """The live part of the page, whenever something changed."""

    async def part() -> str:
        await run_in_threadpool(role_in, room.service, room.me, room.cohort)
        context = await room.context(course, show)
        return bytes(render(room.request, "usage/class_live.html", **context).body).decode()

    return live.stream(room.request, part, _EVERY_S)


@router.post("/{cohort}/stop")
async def stop(room: Class, username: Learner) -> Response:
    """Stop a learner's lab. Their files stay."""

    async def act() -> str:
        await run_in_threadpool(room.learner, username)
        await room.hub.stop(username)
        await run_in_threadpool(room.note, "lab.stop", username)
        return "stopped"

    return await room.do(act)


@router.post("/{cohort}/restart")
async def restart(room: Class, username: Learner) -> Response:
    """Stop a learner's lab and start the same one again."""

    async def act() -> str:
        await run_in_threadpool(room.learner, username)
        if not await labs.restart(room.hub, username, room.me.name):
            return "no-lab"
        await run_in_threadpool(room.note, "lab.restart", username)
        return "restarted"

    return await room.do(act)


@router.post("/{cohort}/extend")
async def extend(room: Class, username: Learner) -> Response:
    """More GPU time for a running lab, out of the cohort's allowance."""

    def give() -> str:
        check_may_answer(room.service, room.me, room.cohort)
        room.learner(username)
        with room.service.database.write() as session:
            me, clock = room.me, room.service.clock
            labs.extend(session, room.cohort, username, me.name, me.admin, clock)
        return "extended"

    return await room.do(give)


@router.post("/{cohort}/requests/{request_id}")
async def decide(room: Class, request_id: str, grant: Annotated[bool, Form()]) -> Response:
    """Answer a learner's request for more GPU time."""

    def answer() -> str:
        check_may_answer(room.service, room.me, room.cohort)
        room.service.decide(request_id, room.cohort, grant, room.me.name, room.me.admin)
        return "granted" if grant else "declined"

    return await room.do(answer)


@router.post("/{cohort}/prestart")
async def prestart(
    room: Class,
    lab: Annotated[str, Form(max_length=100)],
    minutes: Annotated[int, Form()] = 30,
) -> Response:
    """Start a lab (``course/lab``) for every learner who has none."""

    def begin() -> str:
        course, _slash, name = lab.partition("/")
        found = room.request.app.state.courses.get(course)
        if found is None or found.lab(name) is None:
            raise HTTPException(422, _("This course has no such lab. Choose one of those listed."))
        room.service.prestart(room.cohort, course, name, room.me.name, minutes)
        return "prestarted"

    return await room.do(begin)


@router.post("/{cohort}/prestart/cancel")
async def cancel(room: Class) -> Response:
    """Start no more, and return what nobody has opened."""

    def stop_it() -> str:
        room.service.cancel_prestart(room.cohort, room.me.name)
        return "cancelled"

    return await room.do(stop_it)


@router.post("/{cohort}/announcements")
async def announce(
    room: Class, text: Annotated[str, Form()] = "", hours: Annotated[int, Form()] = 4
) -> Response:
    """Tell everybody of the cohort something."""

    def say() -> str:
        with room.service.database.write() as session:
            clock = room.service.clock
            announcements.say(session, room.cohort, text, hours, room.me.name, clock)
        return "announced"

    return await room.do(say, text)


@router.post("/{cohort}/announcements/{announcement}/withdraw")
async def withdraw(room: Class, announcement: str) -> Response:
    """Take an announcement back."""

    def take_back() -> str:
        with room.service.database.write() as session:
            clock = room.service.clock
            announcements.withdraw(session, announcement, room.cohort, room.me.name, clock)
        return "withdrawn"

    return await room.do(take_back)


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
