"""When an assignment opens, is due and closes, for whom; what late work loses. All by our clock.

What is set for a person stands before what is set for their cohort, and that before course.toml,
value by value.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment, Late
from core.i18n import N_
from grader import audit, jobs
from grader.explained import CourseFault
from grader.models import Dates, Submission
from grader.submissions import latest, of_class

DAY = timedelta(days=1)
FIELDS = ("release", "due", "close", "percent_per_day", "grace_minutes", "attempts")


@dataclass(frozen=True)
class When:
    """The rules that hold for one person, or for a cohort."""

    due: datetime | None
    close: datetime | None
    release: datetime | None = None
    late: Late = field(default_factory=Late)
    attempts: int | None = None
    extended: bool = False
    """Something was set for this person alone."""

    def seconds_late(self, received: datetime) -> float:
        """How long after the due date; 0 when in time or when there is none."""
        return max((received - self.due).total_seconds(), 0.0) if self.due else 0.0

    def is_open(self, at: datetime) -> bool:
        """True once the release time has come."""
        return self.release is None or at >= self.release

    @property
    def in_order(self) -> bool:
        """Release before due, due not after close."""
        given = [at for at in (self.release, self.due, self.close) if at is not None]
        return given == sorted(given)


@dataclass(frozen=True)
class Given:
    """What is set for a cohort or a person; None: as in the next wider rule.

    `cleared` names values that there shall be none of: no due date, any number of attempts.
    """

    release: datetime | None = None
    due: datetime | None = None
    close: datetime | None = None
    percent_per_day: float | None = None
    grace_minutes: int | None = None
    attempts: int | None = None
    cleared: frozenset[str] = frozenset()

    @property
    def is_nothing(self) -> bool:
        """Sets nothing: all as in the wider rules."""
        return not self.cleared and all(getattr(self, name) is None for name in FIELDS)


def pick(item: Assignment, rows: list[Dates], cohort: str, username: str) -> When:
    """Each value from the narrowest row that says something of it, else course.toml's (pure)."""
    found = {(row.cohort, row.username): row for row in rows}
    own = [found[key] for key in ((cohort, username), ("", username)) if username and key in found]
    wide = [found[key] for key in ((cohort, ""), ("", "")) if key in found]

    def value(name: str, otherwise: Any) -> Any:
        for row in (*own, *wide):
            if name in row.cleared:
                return None
            if getattr(row, name) is not None:
                return getattr(row, name)
        return otherwise

    late = Late(
        percent_per_day=value("percent_per_day", item.late.percent_per_day) or 0,
        grace_minutes=value("grace_minutes", item.late.grace_minutes) or 0,
        plugin=item.late.plugin,
    )
    return When(
        value("due", item.due),
        value("close", item.close),
        value("release", item.release),
        late,
        value("attempts", item.attempts),
        bool(own),
    )


def rows_of(session: Session, course: str, cohort: str, assignment: str) -> list[Dates]:
    """Every row that can matter to a cohort's assignment."""
    query = select(Dates).where(
        Dates.course == course, Dates.assignment == assignment, Dates.cohort.in_((cohort, ""))
    )
    return list(session.scalars(query))


def of(session: Session, course: str, cohort: str, item: Assignment, username: str) -> When:
    """The rules that hold for one person now; for an empty name those of the cohort."""
    return pick(item, rows_of(session, course, cohort, item.id), cohort, username)


def penalty(policy: Late, score: float, seconds_late: float, student: str = "") -> float:
    """Points that late work of `score` points loses; never more than it has.

    Raises CourseError when the course's plugin cannot be used.
    """
    over = seconds_late - policy.grace_minutes * 60
    if over <= 0:
        return 0.0
    if policy.plugin:
        return min(score, max(0.0, _by_plugin(policy.plugin, student, score, over)))
    days = math.ceil(over / DAY.total_seconds())
    return min(score, score * policy.percent_per_day * days / 100)


def _by_plugin(name: str, student: str, score: float, seconds_late: float) -> float:
    module, _, kind = name.partition(":")
    try:
        plugin = getattr(importlib.import_module(module), kind)()
        return float(plugin.late_submission_penalty(student, score, seconds_late) or 0.0)
    except Exception as error:  # somebody else's code
        raise CourseFault(
            N_("late.plugin = %(name)s of course.toml cannot be used: %(detail)s"),
            name=name,
            detail=f"{type(error).__name__}: {error}",
        ) from error


def own_row(rows: list[Dates], cohort: str, username: str) -> Dates | None:
    """What is set for exactly this cohort or person."""
    return next((r for r in rows if (r.cohort, r.username) == (cohort, username)), None)


def change(
    session: Session,
    course: str,
    cohort: str,
    item: Assignment,
    username: str,
    given: Given,
    by: str,
) -> None:
    """Set the rules of one person, or of the cohort (empty name), and have penalties redone.

    Raises ValueError when the dates would be out of order for them.
    """
    rows = rows_of(session, course, cohort, item.id)
    act = "dates.remove" if given.is_nothing else "dates.set"
    audit.note(session, by, act, f"{course}/{cohort}", username, assignment=item.id)
    attempts = [
        a for a in of_class(session, course, item.id, cohort=cohort) if username in ("", a.username)
    ]
    before = {a.id: _lateness(pick(item, rows, cohort, a.username), a) for a in attempts}
    row = own_row(rows, cohort, username)
    if given.is_nothing:
        if row is not None:
            session.delete(row)
            rows.remove(row)
    else:
        if row is None:
            row = Dates(course=course, cohort=cohort, assignment=item.id, username=username)
            rows.append(row)
        for name in FIELDS:
            setattr(row, name, getattr(given, name))
        row.cleared, row.set_by, row.set_at = sorted(given.cleared), by, now()
        session.add(row)
    if not pick(item, rows, cohort, username).in_order:
        raise ValueError("release, due and close are out of order")
    session.flush()
    counting = {a.id for a in latest(session, course, item.id, cohort=cohort)}
    for attempt in attempts:
        after = _lateness(pick(item, rows, cohort, attempt.username), attempt)
        attempt.late = after[0] > 0
        if attempt.id in counting and before[attempt.id] != after:
            jobs.ask(session, "rescore", (course, item.id, attempt.id), by)


def _lateness(when: When, attempt: Submission) -> tuple[float, Late]:
    """What a penalty depends on; the policy is nothing to work that came in time."""
    seconds = when.seconds_late(attempt.received_at)
    return seconds, when.late if seconds else Late()


def extend(
    session: Session, course: str, cohort: str, item: Assignment, username: str, by: str
) -> None:
    """One more day for one person, from the due date or from now, whichever is later."""
    rows = rows_of(session, course, cohort, item.id)
    when = pick(item, rows, cohort, username)
    due = max(when.due or now(), now()) + DAY
    close = max(when.close, due) if when.close else None
    row = own_row(rows, cohort, username)
    kept = {name: getattr(row, name) for name in FIELDS} if row else {}
    cleared = frozenset(row.cleared if row else ()) - {"due"}
    kept |= {"due": due, "close": close}
    change(session, course, cohort, item, username, Given(**kept, cleared=cleared), by)
