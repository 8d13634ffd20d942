"""Accounts and entries: the only code that changes what a cohort has, has used or has set aside.

Promises (each one tested):

* A reservation is admitted by one guarded UPDATE per account, so settled + reserved passes a cap
  for nobody, however many ask at once. Only time used beyond a grant, which has happened whether
  we like it or not, is charged past the cap; it is kept apart as `overrun`.
* The pool's cap - settled equals the sum of its entries, always.
* An entry has a key; the same key is booked once.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from core.units import units
from usage.grants import Funds
from usage.models import Account, Cohort, Entry, LeaseRow
from usage.refusals import No

POOL = ""
"""Username of a cohort's pooled account."""

_CAP_KINDS = ("grant", "top-up", "correction")
LARGEST = 10**15
"""Units in one entry at most (about 330,000 GPU-hours): more is a slip of the keyboard."""


def account(session: Session, cohort: str, username: str) -> Account:
    """The pool's (POOL) or a learner's account; made when missing."""
    query = select(Account).where(Account.cohort_id == cohort, Account.username == username)
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        holder = session.get_one(Cohort, cohort)
        cap = 0 if username == POOL else holder.learner_cap
        found = Account(
            cohort_id=cohort, username=username, cap=cap, settled=0, reserved=0, overrun=0
        )
        session.add(found)
        session.flush()
    return found


def funds(session: Session, cohort: str, username: str) -> Funds:
    """What may still be reserved for this learner."""
    rows = session.execute(
        select(Account.username, Account.cap, Account.settled + Account.reserved, Account.id).where(
            Account.cohort_id == cohort, Account.username.in_([POOL, username])
        )
    ).all()
    left = {name: None if cap is None else cap - spent for name, cap, spent, _ in rows}
    session.info.setdefault("accounts", {}).update({(cohort, r[0]): r[3] for r in rows})
    if username not in left:  # no lab yet: an account with the cohort's cap is made
        account(session, cohort, username)
        return funds(session, cohort, username)
    return Funds(left.get(POOL) or 0, left[username])


def day_left(session: Session, holder: Cohort, username: str, now: datetime) -> int | None:
    """Units that this learner may still set aside today, by the cohort's clock; None without a cap.

    What is set aside counts as used, so labs that run at the same time share what is left.
    """
    if holder.daily_cap is None:
        return None
    midnight = now.astimezone(ZoneInfo(holder.timezone)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    posted = session.scalar(
        select(func.sum(Entry.amount)).where(
            Entry.username == username, Entry.cohort_id == holder.id, Entry.at >= midnight
        )
    )
    held = session.scalar(
        select(func.sum(LeaseRow.reserved)).where(
            LeaseRow.username == username,
            LeaseRow.cohort_id == holder.id,
            LeaseRow.state != "ended",
        )
    )
    return holder.daily_cap + int(posted or 0) - int(held or 0)


def funds_today(session: Session, cohort: str, username: str, now: datetime) -> Funds:
    """`funds`, with the cohort's cap for one day counted in."""
    money = funds(session, cohort, username)
    today = day_left(session, session.get_one(Cohort, cohort), username, now)
    if today is None or (money.learner is not None and money.learner <= today):
        return money
    return Funds(money.pool, today, by_day=True)


def reserve(session: Session, cohort: str, username: str, amount: int) -> bool:
    """Set `amount` units aside in both accounts, or in neither. False: a cap would break."""
    if amount <= 0:
        raise ValueError(f"a reservation must be positive, not {amount}")
    pool, own = _accounts(session, cohort, username)
    if not _set_aside(session, pool, amount):
        return False
    if not _set_aside(session, own, amount):
        _move(session, pool, reserved=-amount)
        return False
    return True


def _set_aside(session: Session, account_id: int, amount: int) -> bool:
    fits = or_(Account.cap.is_(None), Account.settled + Account.reserved + amount <= Account.cap)
    done = session.execute(
        update(Account)
        .where(Account.id == account_id, fits)
        .values(reserved=Account.reserved + amount)
        .returning(Account.id)
        .execution_options(synchronize_session=False)
    )
    return len(done.all()) == 1


def _move(
    session: Session, account_id: int, settled: int = 0, reserved: int = 0, overrun: int = 0
) -> None:
    session.execute(
        update(Account)
        .where(Account.id == account_id)
        .values(
            settled=Account.settled + settled,
            reserved=Account.reserved + reserved,
            overrun=Account.overrun + overrun,
        )
        .execution_options(synchronize_session=False)
    )


def _accounts(session: Session, cohort: str, username: str) -> list[int]:
    """Ids of the pool's and the learner's account; looked up once in a session."""
    known = session.info.setdefault("accounts", {})
    for name in (POOL, username):
        if (cohort, name) not in known:
            known[cohort, name] = account(session, cohort, name).id
    return [known[cohort, POOL], known[cohort, username]]


def _accounts_of(session: Session, lease: LeaseRow) -> list[int]:
    return _accounts(session, lease.cohort_id, lease.username)


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
    for account_id in _accounts_of(session, lease):
        _move(session, account_id, settled=due, reserved=-covered, overrun=over)
    lease.posted += due
    lease.reserved -= covered
    lease.overrun += over
    lease.sequence += 1
    session.flush()


def give_back(session: Session, lease: LeaseRow) -> None:
    """Free what is still set aside for the lease."""
    if lease.reserved:
        for account_id in _accounts_of(session, lease):
            _move(session, account_id, reserved=-lease.reserved)
        lease.reserved = 0
        session.flush()


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
    for account_id in _accounts_of(session, lease):
        _move(session, account_id, settled=-amount, overrun=-over)
    lease.overrun -= over
    session.flush()
    return True


def lease_charged(session: Session, lease: LeaseRow) -> int:
    """Units in the ledger for this lease, refunds taken off."""
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
    pool = account(session, cohort, POOL)
    change = update(Account).where(Account.id == pool.id).values(cap=Account.cap + amount)
    if amount < 0:
        change = change.where(Account.cap + amount >= Account.settled + Account.reserved)
    done = session.execute(
        change.returning(Account.id).execution_options(synchronize_session=False)
    )
    if len(done.all()) != 1:
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
