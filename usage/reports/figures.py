"""The numbers of a report, from the leases and memberships.

*Held* is held time times the weight of what was held: what the ledger charges by (a refund changes
money, not what was held). *Used* is the part in which the lab's kernels worked, as the lab itself
reported every minute; *idle* the part in which they did not; *unknown* the part nobody reported.
The three add up to held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from usage.models import Cohort, LeaseRow, Membership


@dataclass(frozen=True)
class Period:
    """Labs that began at or after `since` and before `until`; None: no limit."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Figures:
    """One line of a report. GPU time in core.units units."""

    key: str
    """Cohort, organisation or user name."""
    name: str
    organisation: str
    people: int
    """Members (not staff) at this moment."""
    active: int
    """Of all people, those who held a GPU."""
    labs: int
    held: int
    used: int
    idle: int
    completed: int | None
    """Valid certificates; None: the grader service did not answer."""

    @property
    def unknown(self) -> int:
        """Held, and nobody said whether kernels worked."""
        return self.held - self.used - self.idle


def by_cohort(
    session: Session, period: Period, completions: Mapping[str, int] | None, cohort: str = ""
) -> list[Figures]:
    """One line per cohort that had begun or held something, by organisation and name."""
    sums = _sums(session, period, LeaseRow.cohort_id, cohort)
    counted = session.execute(
        select(Membership.cohort_id, func.count())
        .where(Membership.role == "trainee", Membership.removed_at.is_(None))
        .group_by(Membership.cohort_id)
    )
    people = {name: int(count) for name, count in counted}
    rows = session.scalars(select(Cohort).order_by(Cohort.organisation, Cohort.name, Cohort.id))
    return [
        replace(
            sums.get(row.id, _NOTHING),
            key=row.id,
            name=row.name,
            organisation=row.organisation,
            people=people.get(row.id, 0),
            completed=None if completions is None else completions.get(row.id, 0),
        )
        for row in rows
        if not cohort or row.id == cohort
    ]


def by_organisation(
    session: Session, period: Period, completions: Mapping[str, int] | None
) -> list[Figures]:
    """One line per organisation. Somebody in two of its cohorts counts once."""
    lines: dict[str, list[Figures]] = {}
    for line in by_cohort(session, period, completions):
        lines.setdefault(line.organisation, []).append(line)
    people = _distinct(
        session,
        select(Cohort.organisation, func.count(Membership.username.distinct()))
        .join(Membership, Membership.cohort_id == Cohort.id)
        .where(Membership.role == "trainee", Membership.removed_at.is_(None)),
    )
    active = _distinct(
        session,
        _within(
            select(Cohort.organisation, func.count(LeaseRow.username.distinct())).join(
                LeaseRow, LeaseRow.cohort_id == Cohort.id
            ),
            period,
        ).where(LeaseRow.held_ms > 0),
    )
    return [
        replace(total(parts), key=name, name=name, organisation=name, people=people.get(name, 0),
                active=active.get(name, 0))
        for name, parts in lines.items()
    ]  # fmt: skip


def by_person(session: Session, period: Period, cohort: str) -> list[Figures]:
    """One line per person of a cohort who held a GPU."""
    sums = _sums(session, period, LeaseRow.username, cohort)
    return [replace(line, key=name, name=name) for name, line in sorted(sums.items())]


def total(lines: Iterable[Figures]) -> Figures:
    """The sum of lines; people are summed as well, so it is no count of heads."""
    found = _NOTHING
    for line in lines:
        completed = None
        if line.completed is not None and found.completed is not None:
            completed = found.completed + line.completed
        found = replace(
            found,
            people=found.people + line.people,
            active=found.active + line.active,
            labs=found.labs + line.labs,
            held=found.held + line.held,
            used=found.used + line.used,
            idle=found.idle + line.idle,
            completed=completed,
        )
    return found


_NOTHING = Figures("", "", "", 0, 0, 0, 0, 0, 0, 0)


def _sums(
    session: Session, period: Period, key: InstrumentedAttribute[str], cohort: str
) -> dict[str, Figures]:
    query = _within(
        select(
            key,
            func.count(LeaseRow.username.distinct()),
            func.count(),
            func.sum(LeaseRow.held_ms * LeaseRow.weight),
            func.sum(LeaseRow.busy_ms * LeaseRow.weight),
            func.sum(LeaseRow.told_ms * LeaseRow.weight),
        ).where(LeaseRow.held_ms > 0),
        period,
    ).group_by(key)
    if cohort:
        query = query.where(LeaseRow.cohort_id == cohort)
    found = {}
    for name, active, labs, *amounts in session.execute(query):
        held, busy, reported = (int(amount) for amount in amounts)
        told = min(reported, held)
        used = min(busy, told)
        found[str(name)] = replace(
            _NOTHING, active=active, labs=labs, held=held, used=used, idle=told - used
        )
    return found


def _within(query: Select[*tuple[Any, ...]], period: Period) -> Select[*tuple[Any, ...]]:
    if period.since:
        query = query.where(LeaseRow.created_at >= period.since)
    if period.until:
        query = query.where(LeaseRow.created_at < period.until)
    return query


def _distinct(session: Session, query: Select[*tuple[Any, ...]]) -> dict[str, int]:
    rows = session.execute(query.group_by(Cohort.organisation))
    return {str(name): int(count) for name, count in rows}
