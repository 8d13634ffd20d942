"""What a trainee's home shows, gathered from the database, the courses and the Hub's answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import select

from core.course import Course, Lab
from core.wire import LabStatus
from usage import cohorts, views
from usage.api_lab import lab_status
from usage.classroom import announcements
from usage.classroom.models import Announcement
from usage.hub import Server
from usage.models import Cohort, Request, SlotRow
from usage.service import Usage
from usage.waiting import Place

STAFF = ("instructor", "assistant", "admin")


@dataclass(frozen=True)
class Purse:
    """A cohort as its member sees it. Amounts are core.units units, 0 at least."""

    id: str
    name: str
    role: str
    courses: list[str]
    open: bool
    left: int
    """What a start can still draw on: the pool, or the person's own share when that is less."""
    pool: int
    """Left of the cohort's pool."""
    cap: int
    own: int | None
    """Left of the person's own share; None without one."""
    own_cap: int
    mine: int
    """Used by this person."""
    asked: bool
    """A request of this person waits for an answer."""


@dataclass(frozen=True)
class Running:
    """The person's lab, whatever its state."""

    state: str
    url: str
    course: Course | None
    lab: Lab | None
    with_gpu: bool
    status: LabStatus


@dataclass(frozen=True)
class Shown:
    """One course of the home."""

    course: Course
    purses: list[Purse]
    """Open cohorts that offer it."""


def purses(usage: Usage, username: str) -> list[Purse]:
    """The cohorts of a person with what they may still use."""
    found = []
    with usage.database.read() as session:
        for enrolment in cohorts.enrolments(session, username, usage.clock):
            cohort = session.get_one(Cohort, enrolment.cohort)
            pool = views.budget(session, cohort.id)
            own = views.learner_left(session, cohort.id, username)
            left = pool.left if own is None else min(pool.left, own)
            share = views.budget(session, cohort.id, username)
            pending = select(Request.id).where(
                Request.cohort_id == cohort.id,
                Request.username == username,
                Request.state == "open",
            )
            found.append(
                Purse(
                    id=cohort.id,
                    name=cohort.name,
                    role=enrolment.role,
                    courses=list(enrolment.courses),
                    open=enrolment.open,
                    left=max(0, left),
                    pool=max(0, pool.left),
                    cap=pool.cap,
                    own=None if own is None else max(0, own),
                    own_cap=share.cap,
                    mine=share.settled,
                    asked=session.scalar(pending) is not None,
                )
            )
    return found


def shown_courses(courses: dict[str, Course], mine: list[Purse]) -> list[Shown]:
    """The courses that the person's open cohorts offer, by id."""
    shown = []
    for course in courses.values():
        offering = [p for p in mine if p.open and course.id in p.courses]
        if offering:
            shown.append(Shown(course, offering))
    return shown


def running(
    usage: Usage, courses: dict[str, Course], username: str, server: Server | None
) -> Running | None:
    """The person's lab with its course and time left; None without one."""
    if server is None:
        return None
    course = courses.get(server.options.get("course", ""))
    return Running(
        state=server.state,
        url=server.url,
        course=course,
        lab=course.lab(server.options.get("lab", "")) if course else None,
        with_gpu=server.options.get("gpu") == "yes",
        status=lab_status(usage, username),
    )


@dataclass(frozen=True)
class Queued:
    """The person's place in the queue for a GPU, with the lab it is for."""

    place: Place
    course: Course
    lab: Lab


def queued(usage: Usage, courses: dict[str, Course], username: str) -> Queued | None:
    """The person's place in the queue; None when they do not wait (or the lab is gone)."""
    place = usage.place_of(username)
    course = courses.get(place.course) if place else None
    lab = course.lab(place.lab) if place and course else None
    return Queued(place, course, lab) if place and course and lab else None


def told(usage: Usage, username: str) -> list[Announcement]:
    """What staff tells everybody of this person's cohorts now."""
    with usage.database.read() as session:
        return announcements.live(session, username, usage.clock)


def gpu_kinds(usage: Usage) -> list[tuple[str, int, int]]:
    """What the platform has: model with slice, memory in MB, how many of it."""
    with usage.database.read() as session:
        rows = session.scalars(select(SlotRow).where(SlotRow.present)).all()
    counted = Counter((f"{r.model} {r.profile}".strip(), r.memory_mb) for r in rows)
    return [(name, memory, count) for (name, memory), count in sorted(counted.items())]
