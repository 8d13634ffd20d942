"""When a cohort's pool runs out, at the pace it was used at. Pure.

Pace: what labs were charged, refunds taken off, in the last seven days or since the first charge,
divided by that time. A pace needs a day of history at least. The future is drawn as a straight
line: nobody knows the timetable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from core.units import UNITS_PER_GPU_HOUR

Pace = Literal["week", "start"]

WEEK = timedelta(days=7)
LEAST = timedelta(days=1)
FARTHEST = timedelta(days=3650)
_POINTS = 200


@dataclass(frozen=True)
class Movement:
    """One line of the ledger. `amount` in core.units units; below zero: used."""

    at: datetime
    kind: str
    amount: int


@dataclass(frozen=True)
class Outlook:
    """What is to be expected. Amounts in core.units units."""

    pace: Pace
    since: datetime | None
    """Beginning of the time that the pace is taken from; None: too little was used to say."""
    per_day: int
    now: datetime
    left: int
    runs_out: datetime | None
    """None: not before the cohort's end, or nobody can say."""
    at_end: int | None
    """Left at the cohort's end at this pace; None when it runs out, is over, or nobody can say."""
    ends: datetime


@dataclass(frozen=True)
class Chart:
    """GPU-hours left after each moment, and the line of the forecast; None: no value there."""

    times: list[datetime]
    left: list[float | None]
    expected: list[float | None]


def outlook(movements: list[Movement], ends: datetime, now: datetime, pace: Pace) -> Outlook:
    """The outlook from the whole ledger of a pool, in the order of time."""
    left = sum(one.amount for one in movements)
    used = [one for one in movements if one.kind in ("charge", "refund")]
    first = used[0].at if used else None
    unknown = Outlook(pace, None, 0, now, left, None, None, ends)
    if first is None or now - first < LEAST:
        return unknown
    since = max(first, now - WEEK) if pace == "week" else first
    spent = -sum(one.amount for one in used if one.at >= since)
    per_day = max(0, round(Fraction(spent) / Fraction((now - since).total_seconds()) * 86_400))
    if per_day == 0 or now >= ends:
        at_end = left if now < ends else None
        return Outlook(pace, since, per_day, now, left, None, at_end, ends)
    days = Fraction(max(0, left), per_day)
    until = now + timedelta(days=min(float(days), FARTHEST.days))
    if until < ends:
        return Outlook(pace, since, per_day, now, left, until, None, ends)
    rest = left - int(per_day * Fraction((ends - now).total_seconds()) / 86_400)
    return Outlook(pace, since, per_day, now, left, None, rest, ends)


def chart(movements: list[Movement], seen: Outlook) -> Chart:
    """What was left over time, thinned to what a chart can show, and the forecast's straight line
    from now to where the pool or the cohort ends."""
    points: list[tuple[datetime, int]] = []
    balance = 0
    for one in movements:
        balance += one.amount
        points.append((one.at, balance))
    step = max(1, -(-len(points) // _POINTS))
    kept = points[::step] + (points[-1:] if points and (len(points) - 1) % step else [])
    times = [at for at, _ in kept]
    left: list[float | None] = [_hours(amount) for _, amount in kept]
    expected: list[float | None] = [None] * len(kept)
    if kept and seen.per_day and (seen.runs_out or seen.at_end is not None):
        times += [seen.now, seen.runs_out or seen.ends]
        left += [_hours(seen.left), None]
        expected += [_hours(seen.left), 0.0 if seen.runs_out else _hours(seen.at_end or 0)]
    return Chart(times, left, expected)


def _hours(amount: int) -> float:
    return amount / UNITS_PER_GPU_HOUR
