"""Prometheus metrics, read from the database when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import Database
from usage.accounts import POOL
from usage.models import Account, LeaseRow, LeaseSlot, Notice, Request, SlotRow


class _Collector:
    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        with self._database.read() as session:
            yield _counted(session, "dli_leases", "Leases by state", LeaseRow.state)
            yield from _slots(session)
            yield from _budgets(session)
            yield _counted(session, "dli_warnings", "Warnings by reason", Notice.reason)
            yield _counted(session, "dli_requests", "Requests for more by state", Request.state)


def _counted(session: Session, name: str, text: str, column: object) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["value"])
    rows = session.execute(select(column, func.count()).group_by(column))  # type: ignore[call-overload]
    for value, count in rows:
        family.add_metric([str(value)], count)
    return family


def _slots(session: Session) -> Iterable[Metric]:
    present = session.scalar(select(func.count()).select_from(SlotRow).where(SlotRow.present))
    held = session.scalar(select(func.count()).select_from(LeaseSlot).where(LeaseSlot.open))
    yield GaugeMetricFamily("dli_gpu_slots", "GPU slots reported by hosts", value=present or 0)
    yield GaugeMetricFamily("dli_gpu_slots_held", "GPU slots held by open leases", value=held or 0)


def _budgets(session: Session) -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "dli_budget_units",
        "Pooled budgets in units (one ms of 1/840 GPU)",
        labels=["cohort", "part"],
    )
    for row in session.scalars(select(Account).where(Account.username == POOL)):
        for part in ("cap", "settled", "reserved", "overrun"):
            family.add_metric([row.cohort_id, part], getattr(row, part) or 0)
    yield family


def render(database: Database) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(database))
    return generate_latest(registry)
