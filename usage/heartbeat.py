"""What an agent's report does: charge, renew, warn, close what is gone, and answer with orders.

A report names all labs of a host, so what is to be known about them is read for all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.ids import new_id
from core.units import units
from core.wire import LeaseOrder, Observation, SeenContainer
from usage import accounts, grants, idle, ledger
from usage.leases import (
    MOST_HELD_MS,
    OPEN,
    OPENED,
    UNOPENED,
    UNUSED,
    Clock,
    Rules,
    end,
    held_now,
    see,
    until,
)
from usage.models import Cohort, LeaseRow, Notice

MISSES = 2
"""Heartbeats without its container after which an active lease is closed. One is not enough: a
report may have been made just before the container was."""


@dataclass(frozen=True)
class Known:
    """What decides how long some leases go on, read for all of them in a few questions."""

    cohorts: dict[str, Cohort]
    weights: dict[tuple[str, str], int]
    """Weight of the open leases of a cohort's learner; of the whole cohort under POOL."""
    notices: dict[str, list[Notice]]
    """Live warnings by lease."""


def know(session: Session, rows: Sequence[LeaseRow]) -> Known:
    """Read it for these leases."""
    names = {row.cohort_id for row in rows}
    accounts.load(session, {(row.cohort_id, row.username) for row in rows})
    weights: dict[tuple[str, str], int] = {}
    query = select(LeaseRow.cohort_id, LeaseRow.username, func.sum(LeaseRow.weight))
    query = query.where(LeaseRow.cohort_id.in_(names), LeaseRow.state.in_(OPEN))
    for cohort, who, weight in session.execute(
        query.group_by(LeaseRow.cohort_id, LeaseRow.username)
    ):
        weights[cohort, who] = int(weight)
        weights[cohort, accounts.POOL] = weights.get((cohort, accounts.POOL), 0) + int(weight)
    notices: dict[str, list[Notice]] = {}
    given = select(Notice).where(Notice.lease_id.in_([row.id for row in rows]), Notice.live)
    for notice in session.scalars(given):
        notices.setdefault(notice.lease_id, []).append(notice)
    found = session.scalars(select(Cohort).where(Cohort.id.in_(names)))
    return Known({cohort.id: cohort for cohort in found}, weights, notices)


def observe(
    session: Session,
    host: str,
    report: Observation,
    rules: Rules,
    time: Clock,
    complete: bool = True,
) -> list[LeaseOrder]:
    """Take one heartbeat of `host`; one order per reported container.

    Not `complete`: a lab that it does not name may run all the same.
    """
    seen = {container.lease_id for container in report.containers}
    here = (LeaseRow.host == host) & (LeaseRow.state == "active")
    found = session.scalars(select(LeaseRow).where(or_(here, LeaseRow.id.in_(seen)))).all()
    rows = {row.id: row for row in found}
    with session.no_autoflush:  # the leases' changes are written together, at the end
        known = know(session, [row for row in found if row.id in seen])
        orders = [
            _one(session, known, container, rows.get(container.lease_id), rules, time)
            for container in report.containers
        ]
    if complete:
        missing = [row for row in found if row.id not in seen and row.state == "active"]
        _close_missing(session, missing, rules, time)
    return orders


def _one(
    session: Session,
    known: Known,
    seen: SeenContainer,
    row: LeaseRow | None,
    rules: Rules,
    time: Clock,
) -> LeaseOrder:
    if row is None or row.state == "ended":
        reason = "unknown lease" if row is None else row.end_reason
        return LeaseOrder(seen.lease_id, 0, stop=True, reason=reason)
    row.missing = 0
    # A held time beyond every lab's is a fault of the agent's: it must not become a charge.
    see(row, seen.held_ms if 0 <= seen.held_ms <= MOST_HELD_MS else row.held_ms, time)
    quiet = seen.gpu_quiet_ms
    row.gpu_quiet_since_ms = None if quiet is None else max(0, row.held_ms - max(0, quiet))
    if not seen.running:
        # While it is still being started the spawner says how that ended (a failed start is free).
        if row.state == "active":
            end(session, row, None, _why_gone(session, row, rules, time), False, rules, time)
        return LeaseOrder(row.id, row.grant_ms, stop=True, reason=row.end_reason)
    if row.prestarted == OPENED:
        _refund_waiting(session, row, time)
    renew(session, known, row, rules, time)
    if row.prestarted != UNOPENED:  # else nobody is there to be warned
        _warn(session, known, row, rules, time)
    # Only these reasons: grants end by their own time on the host, such a lab has time left.
    stop = row.stop_reason in ("idle", UNUSED)
    return LeaseOrder(row.id, row.grant_ms, stop, row.stop_reason)


def _refund_waiting(session: Session, row: LeaseRow, time: Clock) -> None:
    """A prestarted lab was opened: what it has used so far was waiting, and free."""
    ledger.charge(session, row, time.now())
    if (charged := ledger.lease_charged(session, row)) > 0:
        key, reason = f"refund:{row.id}:prestart", "prestart: the time before it was opened"
        ledger.refund(session, row, charged, "meter", reason, key, time.now())
    row.prestarted = ""


def renew(session: Session, known: Known, row: LeaseRow, rules: Rules, time: Clock) -> None:
    """Extend the grant when it runs low and money is there; post what was used so far."""
    if row.stop_reason:
        return
    if row.grant_ms - row.held_ms >= rules.window_ms // 2:
        return
    extra = grants.extension(*_situation(session, known, row, time), rules.window_ms)
    amount = units(row.grant_ms + extra, row.weight) - row.posted - row.reserved
    whose = (session, row.cohort_id, row.username)
    if extra > 0 and (amount <= 0 or accounts.reserve(*whose, amount)):
        row.grant_ms += extra
        row.reserved += max(0, amount)
    ledger.charge(session, row, time.now())


def _situation(
    session: Session, known: Known, row: LeaseRow, time: Clock, held_ms: int | None = None
) -> tuple[grants.Running, grants.Funds]:
    cohort = known.cohorts[row.cohort_id]
    running = grants.Running(
        held_ms=row.held_ms if held_ms is None else held_ms,
        grant_ms=row.grant_ms,
        limit_ms=row.limit_ms,
        weight=row.weight,
        to_end_ms=until(cohort.ends_at, time),
        closing=row.closing or None,  # type: ignore[arg-type]
    )
    return running, accounts.funds_today(session, cohort, row.username, time.now())


def forecast(session: Session, row: LeaseRow, rules: Rules, time: Clock) -> grants.Stop:
    """When and why this lab will stop, as far as can be told now."""
    return _forecast(session, know(session, [row]), row, rules, time)


def _forecast(
    session: Session, known: Known, row: LeaseRow, rules: Rules, time: Clock
) -> grants.Stop:
    running, money = _situation(session, known, row, time, held_now(row, time))
    idle_left = grants.idle_left(running.held_ms, idle.of_both(row, running.held_ms), rules.idle_ms)
    return grants.forecast(
        replace(running, idle_left_ms=idle_left),
        money,
        known.weights.get((row.cohort_id, accounts.POOL), 0),
        known.weights.get((row.cohort_id, row.username), 0),
    )


WARN_LEAD_MS = 500
"""The meter looks once a second: a warning that is due before its next look comes now."""


def warn(session: Session, row: LeaseRow, rules: Rules, time: Clock, lead_ms: int = 0) -> None:
    """Write the warning that is due in `lead_ms`, and withdraw those that no longer hold."""
    _warn(session, know(session, [row]), row, rules, time, lead_ms)


def warn_due(
    session: Session, rows: Sequence[LeaseRow], rules: Rules, time: Clock
) -> list[LeaseRow]:
    """Those of `rows` that have a warning due within `WARN_LEAD_MS`. Changes nothing."""
    known = know(session, rows) if rows else None
    found = []
    for row in rows:
        assert known is not None
        stop = _forecast(session, known, row, rules, time)
        given = {notice.threshold_ms for notice in known.notices.get(row.id, [])}
        if grants.warnings_due(stop.in_ms - WARN_LEAD_MS, rules.warn_ms, given):
            found.append(row)
    return found


def _warn(
    session: Session,
    known: Known,
    row: LeaseRow,
    rules: Rules,
    time: Clock,
    lead_ms: int = 0,
) -> None:
    stop = _forecast(session, known, row, rules, time)
    live = known.notices.get(row.id, [])
    void = grants.warnings_void(stop.in_ms, {n.threshold_ms for n in live})
    for notice in live:
        notice.live = notice.threshold_ms not in void
    given = {n.threshold_ms for n in live if n.live}
    for threshold in grants.warnings_due(stop.in_ms - lead_ms, rules.warn_ms, given):
        session.add(
            Notice(
                id=new_id("warning"),
                lease_id=row.id,
                reason=stop.reason,
                threshold_ms=threshold,
                left_ms=stop.in_ms,
                live=True,
                created_at=time.now(),
            )
        )


def _why_gone(session: Session, row: LeaseRow, rules: Rules, time: Clock) -> str:
    """Why a container is gone: the meter's reason when its grant was over, else its own end."""
    if row.held_ms >= row.grant_ms - 1000:
        return str(forecast(session, row, rules, time).reason)
    return "lab_ended"


def _close_missing(session: Session, rows: Sequence[LeaseRow], rules: Rules, time: Clock) -> None:
    """Close active leases whose container is gone, at the last held time seen."""
    for row in rows:
        row.missing += 1
        if row.missing >= MISSES:
            end(session, row, None, _why_gone(session, row, rules, time), False, rules, time)
