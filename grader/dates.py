"""When an assignment is due and closes, for whom; what late work loses. All by our clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment, Late
from grader import jobs
from grader.models import Dates
from grader.submissions import latest

DAY = timedelta(days=1)


@dataclass(frozen=True)
class When:
    """The dates that hold for one person."""

    due: datetime | None
    close: datetime | None
    extended: bool = False

    def seconds_late(self, received: datetime) -> float:
        """How long after the due date; 0 when in time or when there is none."""
        return max((received - self.due).total_seconds(), 0.0) if self.due else 0.0


def pick(item: Assignment, rows: list[Dates], username: str) -> When:
    """A person's own row, else everybody's, else the course's (pure)."""
    for name in (username, ""):
        for row in rows:
            if row.username == name:
                return When(row.due, row.close, bool(name))
    return When(item.due, item.close)


def rows_of(session: Session, course: str, assignment: str) -> list[Dates]:
    """Every row of an assignment."""
    query = select(Dates).where(Dates.course == course, Dates.assignment == assignment)
    return list(session.scalars(query))


def of(session: Session, course: str, item: Assignment, username: str) -> When:
    """The dates that hold for one person now."""
    return pick(item, rows_of(session, course, item.id), username)


def penalty(policy: Late, score: float, seconds_late: float) -> float:
    """Points that late work of `score` points loses (pure); never more than it has."""
    over = seconds_late - policy.grace_minutes * 60
    if over <= 0:
        return 0.0
    days = math.ceil(over / DAY.total_seconds())
    return min(score, score * policy.percent_per_day * days / 100)


def change(
    session: Session,
    course: str,
    item: Assignment,
    username: str,
    due: datetime | None,
    close: datetime | None,
    by: str,
) -> None:
    """Set the dates of one person, or of everybody (empty name), and have penalties redone."""
    rows = rows_of(session, course, item.id)
    row = next((r for r in rows if r.username == username), None)
    if row is None:
        row = Dates(course=course, assignment=item.id, username=username)
        session.add(row)
        rows.append(row)
    row.due, row.close, row.set_by, row.set_at = due, close, by, now()
    session.flush()
    for attempt in latest(session, course, item.id):
        if username in ("", attempt.username):
            when = pick(item, rows, attempt.username)
            attempt.late = when.seconds_late(attempt.received_at) > 0
            jobs.ask(session, "rescore", (course, item.id, attempt.id), by)


def extend(session: Session, course: str, item: Assignment, username: str, by: str) -> None:
    """One more day for one person, from the due date or from now, whichever is later."""
    when = of(session, course, item, username)
    due = max(when.due or now(), now()) + DAY
    change(session, course, item, username, due, max(when.close, due) if when.close else None, by)
