"""When a cohort's data is deleted, and the announcement before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from usage.models import Code, Cohort
from usage.roster.models import Expected, RosterImport


@dataclass(frozen=True)
class Deletion:
    """What will be, or was, deleted when."""

    at: datetime | None
    """None: never, as things are set."""
    own: bool
    """Set for this cohort, not by the platform's setting."""
    announced: datetime | None
    done: datetime | None


def of(row: Cohort, keep_days: int) -> Deletion:
    """When this cohort's data is deleted. `keep_days`: the setting; 0: never."""
    otherwise = row.ends_at + timedelta(days=keep_days) if keep_days else None
    # Never while labs of the cohort may still run.
    own = max(row.keep_until, row.ends_at) if row.keep_until else None
    at = own or otherwise
    return Deletion(at, own is not None, row.deletion_announced_at, row.data_deleted_at)


def announced(session: Session, keep_days: int) -> list[tuple[Cohort, Deletion]]:
    """The cohorts whose deletion is announced and not done, the next one first."""
    rows = session.scalars(
        select(Cohort).where(
            Cohort.deletion_announced_at.is_not(None), Cohort.data_deleted_at.is_(None)
        )
    )
    found = [(row, of(row, keep_days)) for row in rows]
    return sorted(found, key=lambda pair: pair[1].at or pair[0].ends_at)


def due(row: Cohort, keep_days: int, ahead: timedelta) -> datetime:
    """From when the data is deleted: after its date, and announced for `ahead` at least."""
    planned, announced_at = of(row, keep_days).at, row.deletion_announced_at
    assert planned is not None
    assert announced_at is not None
    return max(planned, announced_at + ahead)


def forget(session: Session, row: Cohort) -> None:
    """Remove what the cohort knows of people who never had an account, and its event codes."""
    session.execute(delete(Expected).where(Expected.cohort_id == row.id))
    session.execute(delete(RosterImport).where(RosterImport.cohort_id == row.id))
    session.execute(delete(Code).where(Code.cohort_id == row.id))
