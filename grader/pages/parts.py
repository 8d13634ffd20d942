"""Parts of a learner's home that this service draws: what is due, and submitted work.

The home is the usage service's; its page asks for these (`data-fragment` in web/static/dli.js).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse

from core.clock import now
from core.course import Course
from grader import views
from grader.desk import AtDesk, Desk
from web.auth import Person, signed_in
from web.pages import render

router = APIRouter(prefix="/parts")
Someone = Annotated[Person, Depends(signed_in)]

MOST_ATTEMPTS = 20


@dataclass(frozen=True)
class Item:
    """One assignment of one person, with its course."""

    course: Course
    work: views.OwnWork

    @property
    def attempts_left(self) -> int | None:
        """None: as many as one likes."""
        most = self.work.when.attempts
        return None if most is None else max(0, most - len(self.work.attempts))

    def is_open(self, at: datetime) -> bool:
        """Published and still taken, so that something is due."""
        close = self.work.when.close
        return self.work.published and (close is None or at < close)


@router.get("/due")
def due(request: Request, desk: AtDesk, person: Someone, course: str = "") -> HTMLResponse:
    """Open assignments, the next due first."""
    at = now()
    items = [item for item in _items(desk, person, course) if item.is_open(at)]
    items.sort(key=lambda item: item.work.when.due or datetime.max.replace(tzinfo=UTC))
    return render(request, "grader/part_due.html", items=items, now=at)


@router.get("/work")
def work(request: Request, desk: AtDesk, person: Someone, course: str = "") -> HTMLResponse:
    """Submitted work with receipts, scores and feedback, newest first, and certificates."""
    items = _items(desk, person, course)
    attempts = [(item, attempt) for item in items for attempt in item.work.attempts]
    attempts.sort(key=lambda pair: pair[1].submission.received_at, reverse=True)
    certificates = {item.course.id: item for item in items if item.work.certificate}
    return render(
        request,
        "grader/part_work.html",
        attempts=attempts[:MOST_ATTEMPTS],
        certificates=list(certificates.values()),
    )


def _items(desk: Desk, person: Person, course: str) -> list[Item]:
    access = desk.access_of(person)
    with desk.database.read() as session:
        return [
            Item(one, item)
            for one in desk.courses.values()
            if course in ("", one.id)
            for cohort in access.learning(one.id)
            for item in views.own_work(session, one, cohort, person.name)
        ]
