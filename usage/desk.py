"""What the admin and cohort pages show, gathered from the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.units import UNITS_PER_GPU_HOUR
from core.wire import Slot, SlotMode
from usage import views
from usage.client import Budget, Charge
from usage.leases import OPEN
from usage.machines import as_slot, mode_of
from usage.models import (
    Code,
    Cohort,
    Entry,
    LeaseRow,
    LeaseSlot,
    Membership,
    Person,
    Request,
    SlotRow,
    Window,
)

_CHART_POINTS = 200
_ENTRIES_SHOWN = 300


@dataclass(frozen=True)
class CohortLine:
    """One row of the list of cohorts."""

    cohort: Cohort
    members: int
    budget: Budget
    running: int


@dataclass(frozen=True)
class Member:
    """One person of a cohort with what they used, in units."""

    username: str
    name: str
    role: str
    used: int


@dataclass(frozen=True)
class Burn:
    """The pool over time: GPU-hours left after each moment."""

    times: list[datetime]
    left: list[float]


@dataclass(frozen=True)
class CohortPage:
    """Everything on a cohort's page."""

    cohort: Cohort
    budget: Budget
    in_use: int
    """Units used by running labs and not posted yet; part of what is reserved."""
    members: list[Member]
    codes: list[Code]
    charges: list[Charge]
    entries: list[Entry]
    requests: list[Request]
    windows: list[Window]
    burn: Burn


def list_cohorts(session: Session) -> list[CohortLine]:
    """Every cohort, those ending last first."""
    members = _counts(session, Membership.cohort_id, Membership.removed_at.is_(None))
    running = _counts(session, LeaseRow.cohort_id, LeaseRow.state.in_(OPEN))
    return [
        CohortLine(c, members.get(c.id, 0), views.budget(session, c.id), running.get(c.id, 0))
        for c in session.scalars(select(Cohort).order_by(Cohort.ends_at.desc(), Cohort.id)).all()
    ]


def _counts(session: Session, column: object, where: object) -> dict[str, int]:
    rows = session.execute(
        select(column, func.count()).where(where).group_by(column)  # type: ignore[call-overload]
    ).all()
    return {key: int(count) for key, count in rows}


def cohort_page(session: Session, cohort_id: str) -> CohortPage:
    """One cohort. Raises No."""
    cohort = views.cohort(session, cohort_id)
    charges = views.charges(session, cohort_id)
    posted = dict(
        session.execute(
            select(LeaseRow.id, LeaseRow.posted).where(LeaseRow.cohort_id == cohort_id)
        ).all()
    )
    in_use = sum(c.charged - posted[c.lease_id] for c in charges if c.state != "ended")
    entries = session.scalars(
        select(Entry).where(Entry.cohort_id == cohort_id).order_by(Entry.id)
    ).all()
    return CohortPage(
        cohort=cohort,
        budget=views.budget(session, cohort_id),
        in_use=in_use,
        members=_members(session, cohort_id),
        codes=list(
            session.scalars(
                select(Code).where(Code.cohort_id == cohort_id).order_by(Code.created_at)
            ).all()
        ),
        charges=charges,
        entries=list(reversed(entries[-_ENTRIES_SHOWN:])),
        requests=list(
            session.scalars(
                select(Request)
                .where(Request.cohort_id == cohort_id, Request.state == "open")
                .order_by(Request.created_at)
            ).all()
        ),
        windows=windows_of(session, cohort_id),
        burn=burn_down([(e.at, e.amount) for e in entries]),
    )


def windows_of(session: Session, cohort_id: str) -> list[Window]:
    """Reserved windows that were not given up, by time; the last 50."""
    rows = session.scalars(
        select(Window)
        .where(Window.cohort_id == cohort_id, Window.removed_at.is_(None))
        .order_by(Window.starts_at.desc())
        .limit(50)
    ).all()
    return list(reversed(rows))


def _members(session: Session, cohort_id: str) -> list[Member]:
    rows = session.execute(
        select(Membership, Person)
        .join(Person, Person.username == Membership.username, isouter=True)
        .where(Membership.cohort_id == cohort_id, Membership.removed_at.is_(None))
        .order_by(Membership.role, Membership.username)
    ).all()
    return [
        Member(
            m.username,
            p.name if p else "",
            m.role,
            views.budget(session, cohort_id, m.username).settled,
        )
        for m, p in rows
    ]


def burn_down(entries: list[tuple[datetime, int]]) -> Burn:
    """GPU-hours left after each entry, thinned to what a chart can show; the last one stays."""
    points, balance = [], 0
    for at, amount in entries:
        balance += amount
        points.append((at, balance))
    step = max(1, -(-len(points) // _CHART_POINTS))
    kept = points[::step]
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return Burn([at for at, _ in kept], [left / UNITS_PER_GPU_HOUR for _, left in kept])


@dataclass(frozen=True)
class SlotLine:
    """One GPU slot with who holds it."""

    slot: Slot
    mode: SlotMode
    holder: str

    @property
    def drained(self) -> bool:
        """No new lab comes here."""
        return self.mode != "open"


def slots(session: Session) -> list[SlotLine]:
    """Every present slot, by host and id."""
    held = dict(
        session.execute(
            select(LeaseSlot.slot_id, LeaseRow.username)
            .join(LeaseRow, LeaseRow.id == LeaseSlot.lease_id)
            .where(LeaseSlot.open)
        ).all()
    )
    rows = session.scalars(
        select(SlotRow).where(SlotRow.present).order_by(SlotRow.host, SlotRow.gpu, SlotRow.id)
    ).all()
    return [SlotLine(as_slot(row), mode_of(row), held.get(row.id, "")) for row in rows]
