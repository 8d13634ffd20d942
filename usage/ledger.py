"""Entries of the ledger, each booked together with what it changes in the accounts.

Promises (each one tested):

* Only time used beyond a grant, which has happened whether we like it or not, is charged past the
  cap; it is kept apart as `overrun`. All else is admitted by `usage.accounts`.
* The pool's cap - settled equals the sum of its entries, always.
* An entry has a key; the same key is booked once.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.units import units
from usage import accounts
from usage.models import Entry, LeaseRow
from usage.refusals import No

_CAP_KINDS = ("grant", "top-up", "correction")
LARGEST = 10**15
"""Units in one entry at most (about 330,000 GPU-hours): more is a slip of the keyboard."""


def _move(session: Session, lease: LeaseRow, **amounts: int) -> None:
    accounts.move(session, lease.cohort_id, lease.username, **amounts)


def charge(session: Session, lease: LeaseRow, at: datetime) -> None:
    """Post what the lease has used and has not been charged for. Again posts nothing."""
    due = units(lease.held_ms, lease.weight) - lease.posted
    if due <= 0:
        return
    covered = min(due, lease.reserved)
    over = due - covered
    session.add(
        Entry(
            at=at,
            cohort_id=lease.cohort_id,
            kind="charge",
            amount=-due,
            overrun=over,
            actor="meter",
            reason=f"{lease.course}/{lease.lab}",
            lease_id=lease.id,
            username=lease.username,
            key=f"charge:{lease.id}:{lease.sequence}",
        )
    )
    _move(session, lease, settled=due, reserved=-covered, overrun=over)
    lease.posted += due
    lease.reserved -= covered
    lease.overrun += over
    lease.sequence += 1


def give_back(session: Session, lease: LeaseRow) -> None:
    """Free what is still set aside for the lease."""
    if lease.reserved:
        _move(session, lease, reserved=-lease.reserved)
        lease.reserved = 0


def refund(
    session: Session, lease: LeaseRow, amount: int, actor: str, reason: str, key: str, at: datetime
) -> bool:
    """Return `amount` of what the lease was charged. False: this key was booked before.

    Raises No when it is more than the lease still has charged.
    """
    if _booked(session, key):
        return False
    if amount <= 0 or amount > lease_charged(session, lease):
        raise No("refund_amount", lease=lease.id)
    left_over = lease.overrun  # the part beyond the grant is forgiven first
    over = min(left_over, amount)
    session.add(
        Entry(
            at=at,
            cohort_id=lease.cohort_id,
            kind="refund",
            amount=amount,
            overrun=-over,
            actor=actor,
            reason=reason,
            lease_id=lease.id,
            username=lease.username,
            key=key,
        )
    )
    _move(session, lease, settled=-amount, overrun=-over)
    lease.overrun -= over
    return True


def lease_charged(session: Session, lease: LeaseRow) -> int:
    """Units in the ledger for this lease, refunds taken off."""
    session.flush()
    total = session.scalar(select(func.sum(Entry.amount)).where(Entry.lease_id == lease.id))
    return -int(total or 0)


def book(
    session: Session,
    cohort: str,
    kind: str,
    amount: int,
    actor: str,
    reason: str,
    key: str,
    at: datetime,
) -> bool:
    """Book a grant, top-up or correction into the pool. False: this key was booked before.

    Raises No for an amount or kind that cannot be, and for a correction that would take back what
    is used or set aside.
    """
    _check_booking(kind, amount, reason)
    if _booked(session, key):
        return False
    pool = accounts.account(session, cohort, accounts.POOL)
    if not accounts.raise_cap(session, pool.id, amount):
        left = (pool.cap or 0) - pool.settled - pool.reserved
        raise No("correction_too_large", left=max(0, left))
    session.add(
        Entry(
            at=at,
            cohort_id=cohort,
            kind=kind,
            amount=amount,
            overrun=0,
            actor=actor,
            reason=reason.strip(),
            lease_id=None,
            username="",
            key=key,
        )
    )
    session.flush()
    return True


def _check_booking(kind: str, amount: int, reason: str) -> None:
    if kind not in _CAP_KINDS:
        raise No("entry_kind", kind=kind)
    if abs(amount) > LARGEST:
        raise No("amount_absurd")
    if amount == 0 or (amount < 0 and kind != "correction"):
        raise No("amount_not_positive")
    if not reason.strip():
        raise No("reason_missing")


def _booked(session: Session, key: str) -> bool:
    return session.scalar(select(Entry.id).where(Entry.key == key)) is not None
