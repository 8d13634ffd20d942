"""A learner asks for more GPU time; an instructor of the cohort or an admin answers."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.ids import new_id
from core.units import MS_PER_HOUR, WHOLE
from usage import accounts, ledger
from usage.leases import OPEN, Clock
from usage.models import Cohort, LeaseRow, Request
from usage.refusals import No

MOST_MINUTES = 24 * 60


def ask(
    session: Session, cohort: str, username: str, minutes: int, note: str, time: Clock
) -> Request:
    """File a request for `minutes` of a whole GPU. Raises No."""
    if not 1 <= minutes <= MOST_MINUTES:
        raise No("number_out_of_range", field="minutes", value=minutes, least=1, most=MOST_MINUTES)
    pending = select(Request).where(
        Request.cohort_id == cohort, Request.username == username, Request.state == "open"
    )
    if session.scalar(pending) is not None:
        raise No("request_pending")
    lease = session.scalar(
        select(LeaseRow.id).where(LeaseRow.username == username, LeaseRow.state.in_(OPEN))
    )
    row = Request(
        id=new_id("request"),
        cohort_id=cohort,
        username=username,
        lease_id=lease,
        minutes=minutes,
        note=note.strip()[:1000],
        state="open",
        created_at=time.now(),
        decided_by="",
    )
    session.add(row)
    session.flush()
    return row


def decide(
    session: Session,
    request_id: str,
    cohort: str,
    grant: bool,
    actor: str,
    is_admin: bool,
    time: Clock,
) -> Request:
    """Grant or decline. An instructor grants out of the cohort's allowance. Raises No."""
    row = session.get(Request, request_id)
    if row is None or row.cohort_id != cohort or row.state != "open":
        raise No("request_unknown")
    if grant:
        _pay(session, row, actor, is_admin, time)
    row.state = "granted" if grant else "declined"
    row.decided_at, row.decided_by = time.now(), actor
    session.flush()
    return row


def _pay(session: Session, row: Request, actor: str, is_admin: bool, time: Clock) -> None:
    amount = row.minutes * MS_PER_HOUR // 60 * WHOLE
    holder = session.get_one(Cohort, row.cohort_id)
    if not is_admin:
        if holder.allowance < amount:
            raise No("allowance_used", left=holder.allowance)
        holder.allowance -= amount
    reason = f"request of {row.username}: {row.note}" if row.note else f"request of {row.username}"
    key = f"request:{row.id}"
    ledger.book(session, row.cohort_id, "top-up", amount, actor, reason, key, time.now())
    own = accounts.account(session, row.cohort_id, row.username)
    if own.cap is not None:
        accounts.raise_cap(session, own.id, amount)
