"""Questions to the database that change nothing."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.units import units
from usage.accounts import POOL
from usage.client import Budget, Charge, CohortSpec
from usage.leases import OPEN, Clock, until
from usage.models import Account, Cohort, Entry, LeaseRow, Membership
from usage.refusals import No


def cohort(session: Session, cohort_id: str) -> Cohort:
    """The cohort. Raises No."""
    row = session.get(Cohort, cohort_id)
    if row is None:
        raise No("cohort_unknown", cohort=cohort_id)
    return row


def spec_of(row: Cohort) -> CohortSpec:
    """The cohort as `put_cohort` takes it."""
    return CohortSpec(
        id=row.id,
        name=row.name,
        organisation=row.organisation,
        starts=row.starts_at.isoformat(),
        ends=row.ends_at.isoformat(),
        timezone=row.timezone,
        courses=list(row.courses),
        lab_max_minutes=None if row.lab_max_ms is None else row.lab_max_ms // 60_000,
        learner_cap=row.learner_cap,
        daily_cap=row.daily_cap,
        max_gpu_labs=row.max_gpu_labs,
        allowance=row.allowance,
    )


def budget(session: Session, cohort_id: str, username: str = POOL) -> Budget:
    """The pooled account, or a learner's own (`cap` 0 then means: no cap of their own)."""
    row = session.scalar(
        select(Account)
        .where(Account.cohort_id == cohort_id, Account.username == username)
        .execution_options(populate_existing=True)
    )
    return budget_of(cohort_id, row)


def budget_of(cohort_id: str, row: Account | None) -> Budget:
    """An account in numbers; zeros where there is none yet."""
    if row is None:
        return Budget(cohort_id, 0, 0, 0, 0)
    return Budget(cohort_id, row.cap or 0, row.settled, row.reserved, row.overrun)


def learner_left(session: Session, cohort_id: str, username: str) -> int | None:
    """Units left of a learner's own cap; None without one."""
    row = session.scalar(
        select(Account).where(Account.cohort_id == cohort_id, Account.username == username)
    )
    return None if row is None or row.cap is None else row.cap - row.settled - row.reserved


def open_lease(session: Session, username: str) -> LeaseRow | None:
    """The lease of a person's running or starting GPU lab."""
    return session.scalars(
        select(LeaseRow)
        .where(LeaseRow.username == username, LeaseRow.state.in_(OPEN))
        .order_by(LeaseRow.created_at.desc())
    ).first()


def cohort_in_use(session: Session, username: str, time: Clock) -> str | None:
    """The cohort whose budget a person draws on now: the running lab's, else the first open one."""
    lease = open_lease(session, username)
    if lease is not None:
        return lease.cohort_id
    rows = session.scalars(
        select(Cohort)
        .join(Membership, Membership.cohort_id == Cohort.id)
        .where(Membership.username == username, Membership.removed_at.is_(None))
        .order_by(Cohort.ends_at, Cohort.id)
    ).all()
    opened = [c.id for c in rows if until(c.starts_at, time) <= 0 < until(c.ends_at, time)]
    return opened[0] if opened else None


def charges(session: Session, cohort_id: str, limit: int = 1000) -> list[Charge]:
    """What each lease of the cohort cost, newest first."""
    sums = session.execute(
        select(Entry.lease_id, func.sum(Entry.amount))
        .where(Entry.cohort_id == cohort_id, Entry.kind == "refund")
        .group_by(Entry.lease_id)
    ).all()
    refunds = {lease_id: int(amount) for lease_id, amount in sums}
    rows = session.scalars(
        select(LeaseRow)
        .where(LeaseRow.cohort_id == cohort_id)
        .order_by(LeaseRow.created_at.desc(), LeaseRow.id)
        .limit(limit)
    ).all()
    return [_charge(row, refunds.get(row.id, 0)) for row in rows]


def _charge(row: LeaseRow, refunded: int) -> Charge:
    used = row.posted
    if row.state != "ended":
        used = max(used, units(row.held_ms, row.weight))
    return Charge(
        lease_id=row.id,
        username=row.username,
        course=row.course,
        lab=row.lab,
        state=row.state,
        held_ms=row.held_ms,
        charged=used - refunded,
        overrun=row.overrun,
        reason=row.end_reason,
    )
