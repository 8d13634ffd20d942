"""What the admin and cohort pages show, gathered from the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from usage import accounts, views
from usage.client import Budget, Charge
from usage.forecast import Movement
from usage.leases import OPEN
from usage.models import (
    Account,
    Cohort,
    Entry,
    LeaseRow,
    Membership,
    Person,
    Request,
    Window,
)

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
    email: str
    role: str
    used: int


@dataclass(frozen=True)
class CohortPage:
    """Everything on a cohort's page."""

    cohort: Cohort
    budget: Budget
    in_use: int
    """Units used by running labs and not posted yet; part of what is reserved."""
    charges: list[Charge]
    entries: list[Entry]
    requests: list[Request]


def list_cohorts(session: Session) -> list[CohortLine]:
    """Every cohort, those ending last first."""
    members = _counts(session, Membership.cohort_id, Membership.removed_at.is_(None))
    running = _counts(session, LeaseRow.cohort_id, LeaseRow.state.in_(OPEN))
    rows = session.execute(
        select(Cohort, Account)
        .join(
            Account,
            and_(Account.cohort_id == Cohort.id, Account.username == accounts.POOL),
            isouter=True,
        )
        .order_by(Cohort.ends_at.desc(), Cohort.id)
    )
    return [
        CohortLine(c, members.get(c.id, 0), views.budget_of(c.id, a), running.get(c.id, 0))
        for c, a in rows
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
        select(Entry)
        .where(Entry.cohort_id == cohort_id)
        .order_by(Entry.id.desc())
        .limit(_ENTRIES_SHOWN)
    ).all()
    return CohortPage(
        cohort=cohort,
        budget=views.budget(session, cohort_id),
        in_use=in_use,
        charges=charges,
        entries=list(entries),
        requests=list(
            session.scalars(
                select(Request)
                .where(Request.cohort_id == cohort_id, Request.state == "open")
                .order_by(Request.created_at)
            ).all()
        ),
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


def members(session: Session, cohort_id: str) -> list[Member]:
    """The members of a cohort, by role and user name."""
    rows = session.execute(
        select(Membership, Person, Account.settled)
        .join(Person, Person.username == Membership.username, isouter=True)
        .join(
            Account,
            and_(
                Account.cohort_id == Membership.cohort_id,
                Account.username == Membership.username,
            ),
            isouter=True,
        )
        .where(Membership.cohort_id == cohort_id, Membership.removed_at.is_(None))
        .order_by(Membership.role, Membership.username)
    )
    return [
        Member(m.username, p.name if p else "", p.email if p else "", m.role, used or 0)
        for m, p, used in rows
    ]


def movements(session: Session, cohort_id: str) -> list[Movement]:
    """Every line of the cohort's ledger, in the order of time."""
    rows = session.execute(
        select(Entry.at, Entry.kind, Entry.amount)
        .where(Entry.cohort_id == cohort_id)
        .order_by(Entry.at, Entry.id)
    )
    return [Movement(*row) for row in rows]
