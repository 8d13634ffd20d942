"""A lab's own counters, and whether somebody is stuck. No code, output or message leaves a lab."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from usage.classroom.models import LabActivity
from usage.leases import Clock
from usage.refusals import No

MINUTES = 10
"""What a lab counts over (labextension/dli_lab/activity.py)."""

FRESH = timedelta(minutes=3)
"""A lab says every minute; after this its counters say nothing about now."""

LEAST_ERRORS = 5
"""Fewer failed cells are part of learning."""

MOST_COUNT = 100_000


@dataclass(frozen=True)
class Counters:
    """What ran in the last `MINUTES` minutes of a lab."""

    runs: int = 0
    errors: int = 0
    checks: int = 0
    failed_checks: int = 0


def stuck(counted: Counters) -> bool:
    """True when most cells of a while failed, or every validation of several did (pure)."""
    cells = counted.errors >= LEAST_ERRORS and counted.errors * 10 >= counted.runs * 6
    checks = counted.failed_checks >= 3 and counted.failed_checks == counted.checks
    return cells or checks


def note(
    session: Session, username: str, busy: bool, idle_seconds: float, counted: Counters, time: Clock
) -> None:
    """Keep what a lab said. Raises No for numbers that cannot be."""
    for field, value in vars(counted).items():
        if not 0 <= value <= MOST_COUNT:
            raise No("number_out_of_range", field=field, value=value, least=0, most=MOST_COUNT)
    at = time.now()
    quiet = timedelta(seconds=0 if busy else min(max(idle_seconds, 0.0), 86_400.0))
    session.merge(
        LabActivity(username=username, reported_at=at, active_at=at - quiet, **vars(counted))
    )


def counters(row: LabActivity | None, time: Clock) -> Counters:
    """A report's counters while it is fresh, else nothing."""
    if row is None or time.now() - row.reported_at > FRESH:
        return Counters()
    return Counters(row.runs, row.errors, row.checks, row.failed_checks)
