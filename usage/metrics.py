"""Prometheus metrics, read from the database when they are asked for.

docs/reference/metrics.md names each one (a test holds it complete). What was counted since the
beginning is a counter although it is read from rows: rows of leases, entries and warnings are never
deleted while a cohort lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.columns import flag
from usage.accounts import POOL
from usage.leases import OPEN
from usage.models import Account, Entry, LeaseRow, LeaseSlot, Notice, Request, SlotRow, Wait
from usage.prestart.models import Prestart
from usage.service import Usage


class _Collector:
    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def collect(self) -> Iterable[Metric]:
        with self._usage.database.read() as session:
            yield from _leases(session)
            yield from _money(session)
            yield from _queue(session)
            yield from _slots(session)
            yield from _warnings(session)
            yield _counted(session, "dli_requests", "Requests for more by state", Request.state)
            yield _counted(session, "dli_prestarts", "Prestarted labs by state", Prestart.state)
        yield from _hosts(self._usage)


def _counted(session: Session, name: str, text: str, column: object) -> Metric:
    rows = session.execute(select(column, func.count()).group_by(column))  # type: ignore[call-overload]
    return _gauge(name, text, ["state"], {(str(value),): count for value, count in rows})


def _gauge(
    name: str, text: str, labels: list[str], values: Mapping[Any, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family


def _counter(
    name: str, text: str, labels: list[str], values: Mapping[Any, float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family


def _leases(session: Session) -> Iterable[Metric]:
    yield _counted(session, "dli_leases", "Leases by state", LeaseRow.state)
    ended = session.execute(
        select(LeaseRow.end_reason, func.count())
        .where(LeaseRow.state == "ended")
        .group_by(LeaseRow.end_reason)
    )
    # Free text of a Hub's failure would make a series of each message.
    ends: Counter[tuple[str, ...]] = Counter()
    for reason, count in ended:
        ends[reason if reason.replace("_", "").isalpha() else "other",] += count
    yield _counter("dli_leases_ended", "Leases that ended, by reason", ["reason"], dict(ends))
    held = session.scalar(select(func.sum(LeaseRow.held_ms)).where(LeaseRow.state.in_(OPEN)))
    yield _gauge(
        "dli_held_seconds", "Held time of open leases together", [], {(): (held or 0) / 1000}
    )
    over = select(func.count()).where(LeaseRow.overrun > 0)
    yield _counter(
        "dli_overruns", "Leases that ran beyond their grant", [], {(): session.scalar(over) or 0}
    )


def _money(session: Session) -> Iterable[Metric]:
    parts = {}
    for row in session.scalars(select(Account).where(Account.username == POOL)):
        for part in ("cap", "settled", "reserved", "overrun"):
            parts[row.cohort_id, part] = getattr(row, part) or 0
    text = "Pooled budgets in units (one ms of 1/840 GPU)"
    yield _gauge("dli_budget_units", text, ["cohort", "part"], parts)
    rows = session.execute(
        select(
            Entry.cohort_id,
            Entry.kind,
            func.count(),
            func.sum(Entry.amount),
            func.sum(Entry.overrun),
        ).group_by(Entry.cohort_id, Entry.kind)
    ).all()
    counts = {(cohort, kind): float(count) for cohort, kind, count, _, _ in rows}
    yield _counter("dli_entries", "Entries of the ledger", ["cohort", "kind"], counts)
    charged = {(c,): -float(amount) for c, kind, _, amount, _ in rows if kind == "charge"}
    yield _counter("dli_charged_units", "Units charged, before refunds", ["cohort"], charged)
    over = {(c,): float(extra) for c, kind, _, _, extra in rows if kind == "charge"}
    yield _counter("dli_overrun_units", "Units charged beyond a grant", ["cohort"], over)


def _queue(session: Session) -> Iterable[Metric]:
    rows = session.execute(
        select(Wait.cohort_id, Wait.state, func.count())
        .where(flag(Wait.open))
        .group_by(Wait.cohort_id, Wait.state)
    )
    values = {(cohort, state): float(count) for cohort, state, count in rows}
    text = "People in the queue: waiting, or with a place offered"
    yield _gauge("dli_queue", text, ["cohort", "state"], values)
    ended = session.execute(
        select(Wait.state, func.count()).where(Wait.open.is_(False)).group_by(Wait.state)
    )
    text = "Waits that ended: started, left, missed (the offer passed) or dropped"
    yield _counter(
        "dli_queue_ended", text, ["state"], {(state,): float(count) for state, count in ended}
    )


def _slots(session: Session) -> Iterable[Metric]:
    values: Counter[tuple[str, ...]] = Counter()
    for slot in session.scalars(select(SlotRow).where(SlotRow.present)):
        mode = "disabled" if slot.disabled else "drained" if slot.drained else "open"
        values[slot.host, slot.kind, mode if slot.healthy else "faulty"] += 1
    yield _gauge(
        "dli_gpu_slots", "GPU slots that hosts report", ["host", "kind", "mode"], dict(values)
    )
    held = session.execute(
        select(SlotRow.host, func.count())
        .join(LeaseSlot, LeaseSlot.slot_id == SlotRow.id)
        .where(flag(LeaseSlot.open))
        .group_by(SlotRow.host)
    )
    values = Counter({(host,): count for host, count in held})
    yield _gauge("dli_gpu_slots_held", "GPU slots held by open leases", ["host"], dict(values))


def _warnings(session: Session) -> Iterable[Metric]:
    given = func.count(Notice.delivered_at)
    rows = session.execute(select(Notice.reason, func.count(), given).group_by(Notice.reason)).all()
    made = {(reason,): float(count) for reason, count, _ in rows}
    yield _counter("dli_warnings", "Warnings before a stop, by reason", ["reason"], made)
    delivered = {(reason,): float(count) for reason, _, count in rows}
    text = "Warnings that reached a lab or a page"
    yield _counter("dli_warnings_delivered", text, ["reason"], delivered)


def _hosts(usage: Usage) -> Iterable[Metric]:
    now = usage.clock.boot_ms()
    beats = usage.beats.all()
    count = {(host,): float(beat.count) for host, beat in beats.items()}
    yield _counter("dli_heartbeats", "Reports of a host since the service began", ["host"], count)
    age = {(host,): (now - beat.at_ms) / 1000 for host, beat in beats.items()}
    yield _gauge("dli_heartbeat_age_seconds", "Since a host's last report", ["host"], age)
    labs = {(host,): float(beat.labs) for host, beat in beats.items()}
    yield _gauge("dli_heartbeat_labs", "GPU labs in a host's last report", ["host"], labs)
    held: Counter[tuple[str, ...]] = Counter()
    for stray in usage.strays.all(now):
        held[stray.host, stray.process.why] += 1
    text = "Processes that hold a GPU without a lease"
    yield _gauge("dli_gpu_stray_processes", text, ["host", "why"], dict(held))


def render(usage: Usage) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(usage))
    return generate_latest(registry)
