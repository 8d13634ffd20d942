"""GPU time over the days of a cohort, for the small chart of a learner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.units import UNITS_PER_GPU_HOUR
from usage.models import Account, Cohort, Entry

MOST_DAYS = 60


@dataclass(frozen=True)
class Days:
    """GPU-hours at the end of each day of the cohort's time zone, oldest first."""

    days: list[str]
    """ISO dates."""
    left: list[float]
    """Of the cohort's pool."""
    mine: list[float]
    """Left of the person's own share, or, without one, used by them so far."""
    own_share: bool


def days_of(session: Session, cohort_id: str, username: str, now: datetime) -> Days:
    """The last days up to today, at most `MOST_DAYS`."""
    cohort = session.get_one(Cohort, cohort_id)
    zone = ZoneInfo(cohort.timezone)
    pool = _by_day(session, zone, Entry.cohort_id == cohort_id)
    own = _by_day(
        session,
        zone,
        Entry.cohort_id == cohort_id,
        Entry.username == username,
        Entry.username != "",
    )
    share = session.scalar(
        select(Account.cap).where(Account.cohort_id == cohort_id, Account.username == username)
    )
    today = now.astimezone(zone).date()
    first = min([today - timedelta(days=1), *pool])
    every = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    left = list(accumulate(pool.get(day, 0) for day in every))
    used = list(accumulate(-own.get(day, 0) for day in every))
    mine = used if share is None else [max(0, share - units) for units in used]
    return Days(
        [day.isoformat() for day in every[-MOST_DAYS:]],
        [units / UNITS_PER_GPU_HOUR for units in left[-MOST_DAYS:]],
        [units / UNITS_PER_GPU_HOUR for units in mine[-MOST_DAYS:]],
        share is not None,
    )


def _by_day(session: Session, zone: ZoneInfo, *where: ColumnElement[bool]) -> dict[date, int]:
    """Sums per day. The database sums whole hours, since it does not know the zone's days."""
    hour = _hour(session)
    rows = session.execute(select(hour, func.sum(Entry.amount)).where(*where).group_by(hour)).all()
    found: dict[date, int] = {}
    for text, amount in rows:
        day = datetime.fromisoformat(f"{text}:00:00+00:00").astimezone(zone).date()
        found[day] = found.get(day, 0) + int(amount)
    return found


def _hour(session: Session) -> ColumnElement[str]:
    """The hour of an entry in UTC, such as 2026-11-22T09."""
    if session.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m-%dT%H", Entry.at)
    return func.to_char(func.timezone("UTC", Entry.at), 'YYYY-MM-DD"T"HH24')
