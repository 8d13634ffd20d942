"""An assignment's dates and rules for a cohort and for single people. Its staff alone may set them.

Everything typed is in the site's time zone. What is left empty is as in the next wider rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse

from core.course import Assignment
from grader import dates
from grader.desk import AtDesk, Classroom, InClass, class_path
from grader.models import Dates
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]
_MOMENTS = ("release", "due", "close")
_PATH = "/courses/{course}/assignments/{assignment}"


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form()
    return {key: value.strip() for key, value in form.items() if isinstance(value, str)}


Typed = Annotated[dict[str, str], Depends(_typed)]


@router.get(_PATH + "/dates")
def dates_page(
    request: Request, room: InClass, assignment: str, username: str = ""
) -> HTMLResponse:
    """What holds for the cohort, for whom something else holds, and the forms to change it."""
    item = room.assignment(assignment)
    with room.desk.database.read() as session:
        rows = dates.rows_of(session, room.course.id, room.cohort, item.id)
    people = sorted({row.username for row in rows if row.username})
    return render(
        request,
        "grader/dates.html",
        room=room,
        course=room.course,
        assignment=item,
        username=username,
        own=dates.own_row(rows, room.cohort, username),
        wider=_wider(item, rows, room.cohort, username),
        cohort_rules=dates.pick(item, rows, room.cohort, ""),
        names=room.names(),
        people=[(name, dates.pick(item, rows, room.cohort, name)) for name in people],
        local=_local(ZoneInfo(room.desk.settings.site.timezone)),
    )


@router.post(_PATH + "/dates")
def set_dates(room: InClass, assignment: str, typed: Typed) -> RedirectResponse:
    """Rules for the cohort, or for the person named; penalties follow."""
    item = room.assignment(assignment)
    name = typed.get("username", "")
    if name:
        _check_learner(room, name)
    given = _given(typed, ZoneInfo(room.desk.settings.site.timezone))
    _save(room, item, name, given)
    return _back(room, item)


@router.post(_PATH + "/extensions")
def extend_by_name(
    room: InClass, assignment: str, username: Annotated[str, Form(max_length=255)]
) -> RedirectResponse:
    """One more day for a person who has not handed in anything yet."""
    item = room.assignment(assignment)
    name = username.strip()
    _check_learner(room, name)
    with room.desk.database.write() as session:
        dates.extend(session, room.course.id, room.cohort, item, name, room.person.name)
    return _back(room, item)


@router.post("/submissions/{submission}/extend")
def extend(desk: AtDesk, person: Someone, submission: str) -> RedirectResponse:
    """One more day for the person who handed this in."""
    found = desk.taught_submission(person, submission)
    item = desk.assignment(found.course, found.assignment)[1]
    with desk.database.write() as session:
        dates.extend(session, found.course, found.cohort, item, found.username, person.name)
    return RedirectResponse(class_path(found), 303)


def _save(room: Classroom, item: Assignment, name: str, given: dates.Given) -> None:
    try:
        with room.desk.database.write() as session:
            dates.change(session, room.course.id, room.cohort, item, name, given, room.person.name)
    except ValueError:
        raise HTTPException(
            422, _("The dates must come in this order: available from, due, closing time.")
        ) from None


def _check_learner(room: Classroom, name: str) -> None:
    places = room.desk.access_of(Person(name)).places
    if not any(p.cohort == room.cohort and room.course.id in p.courses for p in places):
        raise HTTPException(422, _("%(name)s is not in this cohort.") % {"name": name[:100]})


def _wider(item: Assignment, rows: list[Dates], cohort: str, username: str) -> dates.When:
    """What holds when nothing is set here: the hint beside each empty field."""
    return dates.pick(
        item, [r for r in rows if (r.cohort, r.username) != (cohort, username)], cohort, username
    )


def _given(typed: dict[str, str], zone: ZoneInfo) -> dates.Given:
    """What a form says. Raises HTTPException."""
    cleared = {name for name in dates.FIELDS if typed.get(f"no-{name}")}
    kept = {name: text for name, text in typed.items() if name not in cleared}
    moments = {name: _moment(kept.get(name, ""), zone) for name in _MOMENTS}
    return dates.Given(
        **moments,
        percent_per_day=_number(kept.get("percent_per_day", ""), 0, 100),
        grace_minutes=_whole(kept.get("grace_minutes", ""), 0, 1_000_000),
        attempts=_whole(kept.get("attempts", ""), 1, 10_000),
        cleared=frozenset(cleared),
    )


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    """What a browser's date field sends."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        raise HTTPException(422, _("%(text)s is no date and time.") % {"text": text[:40]}) from None


def _number(text: str, least: float, most: float) -> float | None:
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise HTTPException(
            422,
            _("%(text)s is no number from %(least)s to %(most)s.")
            % {"text": text[:40], "least": f"{least:g}", "most": f"{most:g}"},
        )
    return value


def _whole(text: str, least: int, most: int) -> int | None:
    value = _number(text, least, most)
    return None if value is None else int(value)


def _local(zone: ZoneInfo) -> Callable[[datetime | None], str]:
    """For date fields: a moment in the site's zone; empty for none."""
    return lambda at: at.astimezone(zone).strftime("%Y-%m-%dT%H:%M") if at else ""


def _back(room: Classroom, item: Assignment) -> RedirectResponse:
    base = f"/services/grader/courses/{room.course.id}/assignments/{item.id}/dates"
    return RedirectResponse(base + room.query, 303)
