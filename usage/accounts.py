"""Accounts: what a cohort and each of its learners may use, have used and have set aside.

The only code that changes an account's balance. A reservation is admitted by one guarded UPDATE of
the pool and the learner's account, so settled + reserved passes a cap for nobody, however many ask
at once.

What was read of an account is kept for the rest of the transaction (`Purse`) and follows every
change made through this module; nobody else can change it meanwhile (store.database).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from usage.grants import Funds
from usage.models import Account, Cohort, Entry, LeaseRow

POOL = ""
"""Username of a cohort's pooled account."""

_TABLE: Any = Account.__table__


@dataclass
class Purse:
    """An account as this transaction knows it. `today`: left of the cap for one day, once read."""

    id: int
    cap: int | None
    spent: int
    """settled + reserved."""
    today: int | None = None

    @property
    def left(self) -> int | None:
        """None: no cap."""
        return None if self.cap is None else self.cap - self.spent


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


def _known(session: Session) -> dict[tuple[str, str], Purse]:
    known: dict[tuple[str, str], Purse] = session.info.setdefault("purses", {})
    return known


def forget(session: Session) -> None:
    """Read accounts anew: one was changed past this module."""
    session.info.pop("purses", None)


def load(session: Session, whose: Iterable[tuple[str, str]]) -> None:
    """Read the pools and the learners' accounts of these (cohort, username) in one question."""
    known = _known(session)
    wanted = {pair for c, name in whose for pair in ((c, POOL), (c, name)) if pair not in known}
    if not wanted:
        return
    query = select(
        Account.cohort_id,
        Account.username,
        Account.id,
        Account.cap,
        Account.settled + Account.reserved,
    ).where(
        Account.cohort_id.in_({cohort for cohort, _ in wanted}),
        Account.username.in_({name for _, name in wanted}),
    )
    for cohort, name, number, cap, spent in session.execute(query):
        known.setdefault((cohort, name), Purse(number, cap, spent))
    for cohort, name in wanted - known.keys():
        made = account(session, cohort, name)
        known[cohort, name] = Purse(made.id, made.cap, made.settled + made.reserved)


def purses(session: Session, cohort: str, username: str) -> tuple[Purse, Purse]:
    """The pool and the learner's account."""
    load(session, [(cohort, username)])
    known = _known(session)
    return known[cohort, POOL], known[cohort, username]


def funds_today(session: Session, holder: Cohort, username: str, now: datetime) -> Funds:
    """What may still be reserved for this learner, the cohort's cap for one day counted in."""
    pool, own = purses(session, holder.id, username)
    left = own.left
    if holder.daily_cap is None:
        return Funds(pool.left or 0, left)
    if own.today is None:
        own.today = _today(session, holder, username, now)
    if left is not None and left <= own.today:
        return Funds(pool.left or 0, left)
    return Funds(pool.left or 0, own.today, by_day=True)


def _today(session: Session, holder: Cohort, username: str, now: datetime) -> int:
    """Units that this learner may still set aside today, by the cohort's clock.

    What is set aside counts as used, so labs that run at the same time share what is left.
    """
    session.flush()
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
    return (holder.daily_cap or 0) + int(posted or 0) - int(held or 0)


def reserve(session: Session, cohort: str, username: str, amount: int) -> bool:
    """Set `amount` units aside in both accounts, or in neither. False: a cap would break."""
    if amount <= 0:
        raise ValueError(f"a reservation must be positive, not {amount}")
    both = purses(session, cohort, username)
    done = _set_aside(session, both, amount)
    if len(done) == len(both):
        _spend(both, amount)
        return True
    if done:
        _change(session, done, reserved=-amount)
    return False


def _set_aside(session: Session, both: tuple[Purse, ...], amount: int) -> list[int]:
    """The ids of the accounts that had room and have it set aside now."""
    fits = or_(Account.cap.is_(None), Account.settled + Account.reserved + amount <= Account.cap)
    done = session.execute(
        update(_TABLE)
        .where(Account.id.in_([purse.id for purse in both]), fits)
        .values(reserved=Account.reserved + amount)
        .returning(Account.id)
    )
    return list(done.scalars())


def move(
    session: Session,
    cohort: str,
    username: str,
    settled: int = 0,
    reserved: int = 0,
    overrun: int = 0,
) -> None:
    """Change the pool's and the learner's account alike."""
    both = purses(session, cohort, username)
    _change(session, [purse.id for purse in both], settled, reserved, overrun)
    _spend(both, settled + reserved)


def _change(
    session: Session, ids: list[int], settled: int = 0, reserved: int = 0, overrun: int = 0
) -> None:
    session.execute(
        update(_TABLE)
        .where(Account.id.in_(ids))
        .values(
            settled=Account.settled + settled,
            reserved=Account.reserved + reserved,
            overrun=Account.overrun + overrun,
        )
    )


def _spend(both: tuple[Purse, ...], amount: int) -> None:
    for purse in both:
        purse.spent += amount
        if purse.today is not None:
            purse.today -= amount


def raise_cap(session: Session, account_id: int, amount: int) -> bool:
    """Change a cap by `amount`. False: less than what is used and set aside would be left."""
    change = update(_TABLE).where(Account.id == account_id).values(cap=Account.cap + amount)
    if amount < 0:
        change = change.where(Account.cap + amount >= Account.settled + Account.reserved)
    done = session.execute(change.returning(Account.id))
    forget(session)
    return len(done.all()) == 1
