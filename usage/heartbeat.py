"""What an agent's report does: charge, renew, warn, close what is gone, and answer with orders."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from core.ids import new_id
from core.units import units
from core.wire import LeaseOrder, Observation, SeenContainer
from usage import grants, ledger
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


def observe(
    session: Session, host: str, report: Observation, rules: Rules, time: Clock
) -> list[LeaseOrder]:
    """Take one heartbeat of `host`; one order per reported container."""
    orders = [_one(session, seen, rules, time) for seen in report.containers]
    _close_missing(session, host, {c.lease_id for c in report.containers}, rules, time)
    return orders


def _one(session: Session, seen: SeenContainer, rules: Rules, time: Clock) -> LeaseOrder:
    row = session.get(LeaseRow, seen.lease_id)
    if row is None or row.state == "ended":
        reason = "unknown lease" if row is None else row.end_reason
        return LeaseOrder(seen.lease_id, 0, stop=True, reason=reason)
    row.missing = 0
    # A held time beyond every lab's is a fault of the agent's: it must not become a charge.
    see(row, seen.held_ms if 0 <= seen.held_ms <= MOST_HELD_MS else row.held_ms, time)
    if not seen.running:
        # While it is still being started the spawner says how that ended (a failed start is free).
        if row.state == "active":
            end(session, row, None, _why_gone(session, row, rules, time), False, rules, time)
        return LeaseOrder(row.id, row.grant_ms, stop=True, reason=row.end_reason)
    if row.prestarted == OPENED:
        _refund_waiting(session, row, time)
    renew(session, row, rules, time)
    if row.prestarted != UNOPENED:  # else nobody is there to be warned
        warn(session, row, rules, time)
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


def renew(session: Session, row: LeaseRow, rules: Rules, time: Clock) -> None:
    """Extend the grant when it runs low and money is there; post what was used so far."""
    if row.stop_reason:
        return
    if row.grant_ms - row.held_ms >= rules.window_ms // 2:
        return
    extra = grants.extension(*_situation(session, row, time), rules.window_ms)
    amount = units(row.grant_ms + extra, row.weight) - row.posted - row.reserved
    if extra > 0 and (amount <= 0 or ledger.reserve(session, row.cohort_id, row.username, amount)):
        row.grant_ms += extra
        row.reserved += max(0, amount)
    ledger.charge(session, row, time.now())
    session.flush()


def _situation(
    session: Session, row: LeaseRow, time: Clock, held_ms: int | None = None
) -> tuple[grants.Running, grants.Funds]:
    cohort = session.get_one(Cohort, row.cohort_id)
    running = grants.Running(
        held_ms=row.held_ms if held_ms is None else held_ms,
        grant_ms=row.grant_ms,
        limit_ms=row.limit_ms,
        weight=row.weight,
        to_end_ms=until(cohort.ends_at, time),
        closing=row.closing or None,  # type: ignore[arg-type]
    )
    return running, ledger.funds_today(session, row.cohort_id, row.username, time.now())


def forecast(session: Session, row: LeaseRow, rules: Rules, time: Clock) -> grants.Stop:
    """When and why this lab will stop, as far as can be told now."""

    own = case((LeaseRow.username == row.username, LeaseRow.weight), else_=0)
    weights = session.execute(
        select(func.sum(LeaseRow.weight), func.sum(own)).where(
            LeaseRow.cohort_id == row.cohort_id, LeaseRow.state.in_(OPEN)
        )
    ).one()
    running, money = _situation(session, row, time, held_now(row, time))
    idle_left = grants.idle_left(running.held_ms, row.idle_since_ms, rules.idle_ms)
    running = replace(running, idle_left_ms=idle_left)
    return grants.forecast(running, money, int(weights[0] or 0), int(weights[1] or 0))


def warn(session: Session, row: LeaseRow, rules: Rules, time: Clock) -> None:
    """Write the warning that is due now, and withdraw those that no longer hold."""
    stop = forecast(session, row, rules, time)
    live = session.scalars(select(Notice).where(Notice.lease_id == row.id, Notice.live)).all()
    void = grants.warnings_void(stop.in_ms, {n.threshold_ms for n in live})
    for notice in live:
        notice.live = notice.threshold_ms not in void
    given = {n.threshold_ms for n in live if n.live}
    for threshold in grants.warnings_due(stop.in_ms, rules.warn_ms, given):
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
    session.flush()


def _why_gone(session: Session, row: LeaseRow, rules: Rules, time: Clock) -> str:
    """Why a container is gone: the meter's reason when its grant was over, else its own end."""
    if row.held_ms >= row.grant_ms - 1000:
        return str(forecast(session, row, rules, time).reason)
    return "lab_ended"


def _close_missing(session: Session, host: str, seen: set[str], rules: Rules, time: Clock) -> None:
    """Close active leases of `host` whose container is gone, at the last held time seen."""
    rows = session.scalars(
        select(LeaseRow).where(LeaseRow.host == host, LeaseRow.state == "active")
    ).all()
    for row in rows:
        if row.id in seen:
            continue
        row.missing += 1
        if row.missing >= MISSES:
            end(session, row, None, _why_gone(session, row, rules, time), False, rules, time)
    session.flush()
