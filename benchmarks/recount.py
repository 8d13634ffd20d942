"""The books counted again from the raw entries, after many random events.

The counting is plain addition over the rows of `entries` and shares nothing with usage.ledger: what
the accounts say must be what the entries add up to. The events (starts, reports, ends, repeats,
top-ups, corrections) go through the service as the Hub and the agents send them; every report of
one lab counts as one event. ``BENCH_EVENTS`` sets how many (a million when it is not set).
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from core.units import UNITS_PER_GPU_HOUR, WHOLE
from core.wire import GpuNeed, Lease, Observation, ReserveRequest, SeenContainer, Slot
from store.database import Database
from usage.client import CohortSpec
from usage.database import open_database
from usage.leases import Clock, Rules
from usage.refusals import No
from usage.service import Usage

EVENTS = 1_000_000
COHORTS, LEARNERS, SLOTS = 6, 300, 245
RULES = Rules(300_000, 4 * 3_600_000, 180_000, 150_000, [120_000, 600_000])

Say = Callable[[str], None]


@dataclass
class Books:
    """Sums by cohort and by (cohort, learner) in core.units units; "" is the pool."""

    balance: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    granted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    used: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    overrun: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))


def count(session: Session) -> Books:
    """Add all entries up, row by row."""
    books = Books()
    rows = session.execute(
        text("SELECT cohort_id, kind, username, amount, overrun FROM entries ORDER BY id")
    )
    for cohort, kind, username, amount, overrun in rows:
        books.balance[cohort] += amount
        if kind not in ("charge", "refund"):
            books.granted[cohort] += amount
            continue
        for who in ("", username):
            books.used[cohort, who] -= amount
            books.overrun[cohort, who] += overrun
    return books


def differences(session: Session) -> list[str]:
    """What accounts and entries do not agree in; empty when all is well."""
    books = count(session)
    found = []
    rows = session.execute(
        text("SELECT cohort_id, username, cap, settled, reserved, overrun FROM accounts")
    )
    for cohort, who, cap, settled, reserved, overrun in rows:
        checks = [("settled", settled, books.used[cohort, who])]
        checks.append(("overrun", overrun, books.overrun[cohort, who]))
        if who == "":
            checks.append(("cap", cap, books.granted[cohort]))
            checks.append(("balance", cap - settled, books.balance[cohort]))
            checks.append(("beyond the cap", max(0, settled - overrun + reserved - cap), 0))
        found += [f"{cohort}/{who}: {n} is {a}, entries say {b}" for n, a, b in checks if a != b]
    return found


class Play:
    """A service that random events happen to."""

    def __init__(self, database: Database, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = datetime(2026, 11, 2, tzinfo=UTC)
        self.boot = 1_000_000
        clock = Clock(lambda: self.now, lambda: self.boot, lambda: "boot")
        self.usage = Usage(database, RULES, {"course"}, clock)
        self.held: dict[str, int] = {}
        self.leases: dict[str, Lease] = {}
        self.events = self.spawned = self.bookings = 0
        slots = [
            Slot(f"s{n}", f"d{n}", f"G{n // 7}", "host", "mig", "GPU", 10_000, WHOLE // 7)
            for n in range(SLOTS)
        ]
        self.usage.put_inventory("host", slots)
        for number in range(COHORTS):
            self._cohort(f"c{number}", number)

    def _cohort(self, name: str, number: int) -> None:
        begin, end = self.now - timedelta(days=1), self.now + timedelta(days=4000)
        cap = UNITS_PER_GPU_HOUR if number % 2 else None
        self.usage.put_cohort(
            CohortSpec(
                name,
                name,
                "",
                begin.isoformat(),
                end.isoformat(),
                courses=["course"],
                learner_cap=cap,
            )
        )
        self._book(name, "grant", UNITS_PER_GPU_HOUR)
        for learner in range(number, LEARNERS, COHORTS):
            self.usage.enrol(name, f"p{learner}", "trainee")

    def run(self, events: int, say: Say) -> None:
        """Let at least `events` happen."""
        acts = [self.start] * 8 + [self.report] * 24 + [self.end] * 4 + [self.book, self.fix]
        shown = 0
        while self.events < events:
            self.random.choice(acts)()
            if self.events - shown >= max(1000, events // 50):
                shown = self.events
                say(f"{shown:,} of {events:,} events")

    def start(self) -> None:
        """Somebody starts a lab, perhaps twice; perhaps it comes up."""
        who = self.random.randrange(LEARNERS)
        self.spawned += 1
        ask = ReserveRequest(
            f"spawn-{self.spawned}",
            f"p{who}",
            f"c{who % COHORTS}",
            "course",
            "lab",
            GpuNeed(),
            holder="kernel",
        )
        for _ in range(self.random.choice((1, 1, 2))):
            self.events += 1
            try:
                lease = self.usage.reserve(ask)
            except No:
                return
        if self.random.random() < 0.9:
            self.usage.activate(lease.id, f"k-{lease.id}")
            self.leases[lease.id], self.held[lease.id] = lease, 0

    def report(self) -> None:
        """Time passes; the agent reports every lab, now and then twice or late."""
        step = self.random.choice((1_000, *[10_000] * 6, 40_000, 200_000))
        self.boot += step
        self.now += timedelta(milliseconds=step + self.random.choice((0, 0, 0, 3_600_000)))
        for lease_id in self.held:
            self.held[lease_id] += step
        for _ in range(self.random.choice((1, 1, 2))):
            late = self.random.choice((0, 0, 5_000))
            seen = [
                SeenContainer(f"k-{key}", key, max(0, held - late), True)
                for key, held in self.held.items()
            ]
            self.events += max(1, len(seen))
            for order in self.usage.observe("host", Observation("boot", seen)):
                if order.stop:
                    self.held.pop(order.lease_id, None)
        self.usage.tick()

    def end(self) -> None:
        """A lab ends, perhaps by a fault of ours, perhaps said twice."""
        if not self.held:
            return
        lease_id = self.random.choice(list(self.held))
        held: int | None = self.held.pop(lease_id) + self.random.randrange(3_000)
        if self.random.random() < 0.1:
            held = None
        fault = self.random.random() < 0.2
        for _ in range(self.random.choice((1, 1, 2))):
            self.events += 1
            self.usage.release(lease_id, held, "stopped", fault)

    def book(self) -> None:
        """A top-up."""
        self._book(f"c{self.random.randrange(COHORTS)}", "top-up", UNITS_PER_GPU_HOUR // 2)

    def fix(self) -> None:
        """A correction that takes something back, when that much is left."""
        amount = -self.random.randrange(1, UNITS_PER_GPU_HOUR // 3)
        try:
            self._book(f"c{self.random.randrange(COHORTS)}", "correction", amount)
        except No:
            return

    def _book(self, cohort: str, kind: str, amount: int) -> None:
        self.bookings += 1
        for _ in range(2):  # the second must book nothing
            self.events += 1
            self.usage.book(cohort, kind, amount, "admin", "play", f"key-{self.bookings}")


def play(folder: Path, events: int, seed: int, say: Say) -> tuple[Play, list[str]]:
    """Play on a new database in `folder`; the play and what did not agree afterwards."""
    database = open_database(f"sqlite:///{folder}/usage.sqlite")
    event.listen(database.engine, "connect", lambda c, _r: c.execute("PRAGMA synchronous=OFF"))
    try:
        database.migrate()
        made = Play(database, seed)
        made.run(events, say)
        with database.read() as session:
            return made, differences(session)
    finally:
        database.close()


def main(say: Say) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Play and count again; rows for the table and the figures."""
    events = int(os.environ.get("BENCH_EVENTS") or EVENTS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dli-recount-") as folder:
        made, wrong = play(Path(folder), events, 1, say)
    figures = {
        "events": made.events,
        "differences": len(wrong),
        "seconds": round(time.monotonic() - began, 1),
    }
    return [figures | {"first difference": wrong[0] if wrong else ""}], figures
