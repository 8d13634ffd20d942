"""The cap: 50 GPU labs of one cohort run out together; how long does each go on?

Real usage service, real agent, real containers with the arguments of a lab (a tiny image, without
JupyterLab); half of them ignore the polite signal. There is no Hub, so the agent alone enforces:
the worst case. Two ways to run out: the pooled budget, and the cohort's end.

Held times are measured here, apart from the platform, by the kernel's word for each process's end.
Overspend is what a lab was held beyond what its last grant had paid for. Figures:
`worst_overspend_s` over all labs; `cap_broken` counts the looks (two a second) at which
settled + reserved, less the overrun that is shown, was above the cap.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from benchmarks._cap_world import COURSE, World, world
from core.clock import boot_ms, now
from core.ids import new_id
from core.units import WHOLE
from core.wire import GpuNeed, Lease, ReserveRequest
from labs.exits import Exits
from labs.held import started_ms
from usage.client import Charge, CohortSpec

LABS = 50
WEIGHT = WHOLE // 7
"""Of a MIG slice of seven."""
SECONDS = 40
"""Held time that the budget has for each lab; until the cohort's end once all have started."""

Say = Callable[[str], None]


@dataclass
class Round:
    """One cohort that ran out. Times in seconds, one value a lab."""

    name: str
    overspend: list[float] = field(default_factory=list)
    uncharged: list[float] = field(default_factory=list)
    """Held, but not charged."""
    overcharged: list[float] = field(default_factory=list)
    apart: float = 0.0
    """From the first lab's end to the last's."""
    cap_broken: int = 0


def main(say: Say) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure; rows for the table and the figures. Takes about four minutes on 2 cores."""
    labs = int(os.environ.get("BENCH_LABS", LABS))
    with world(labs, say) as found:
        rounds = [run(found, name, labs, SECONDS, say) for name in ("budget", "cohort's end")]
    return [row(one) for one in rounds], figures(rounds)


def row(one: Round) -> dict[str, Any]:
    """The round as a line of the table."""
    return {
        "runs out by": one.name,
        "labs": len(one.overspend),
        "ended within s": round(one.apart, 2),
        "overspend p50 s": round(statistics.median(one.overspend), 3),
        "overspend worst s": round(max(one.overspend), 3),
        "uncharged worst s": round(max(one.uncharged), 3),
        "overcharged worst s": round(max(one.overcharged), 3),
        "cap broken": one.cap_broken,
    }


def figures(rounds: list[Round]) -> dict[str, Any]:
    """The last line."""
    return {
        "labs": min(len(one.overspend) for one in rounds),
        "worst_overspend_s": round(max(max(one.overspend) for one in rounds), 3),
        "cap_broken": sum(one.cap_broken for one in rounds),
    }


def run(found: World, name: str, labs: int, seconds: int, say: Say) -> Round:
    """Start `labs` labs of a new cohort, wait until all have ended, and compare."""
    by_end = name != "budget"
    say(f"{name}: starting {labs} labs")
    cohort = new_id("c")
    one = Round(name)
    with Watch(found, cohort, one) as watch:
        cap = labs * WEIGHT * 1000 * (3600 if by_end else seconds)
        _make_cohort(found, cohort, timedelta(days=1), cap)
        _start(found, cohort, labs, watch)
        if by_end:
            _make_cohort(found, cohort, timedelta(seconds=seconds), None)
        say(f"{name}: waiting for the end of {labs} labs")
        held = watch.wait(labs, 2 * seconds + 60)
        charges = found.settled(cohort)
    for lease_id, ms in held.items():
        charge = charges[lease_id]
        one.overspend.append(max(0, ms - paid_ms(charge)) / 1000)
        one.uncharged.append(max(0, ms - charge.held_ms) / 1000)
        one.overcharged.append(max(0, charge.held_ms - ms) / 1000)
    one.apart = watch.apart
    found.clear()
    return one


def paid_ms(charge: Charge) -> float:
    """The held time that lay within the lab's last grant."""
    return (charge.charged - charge.overrun) / WEIGHT


def _make_cohort(found: World, cohort: str, length: timedelta, cap: int | None) -> None:
    moment = now()
    spec = CohortSpec(
        cohort,
        cohort,
        starts=(moment - timedelta(hours=1)).isoformat(),
        ends=(moment + length).isoformat(),
        courses=[COURSE],
    )
    found.admin.create_cohort(spec)
    if cap is not None:
        found.admin.grant(cohort, cap, "bench", "start", new_id("key"))


def _start(found: World, cohort: str, labs: int, watch: Watch) -> None:
    """Reserve and make all, then start all, so that they run out together."""

    def make(number: int) -> tuple[Lease, str]:
        name = f"learner-{number}"
        found.admin.enrol(cohort, name)
        ask = ReserveRequest(
            new_id("spawn"), name, cohort, COURSE, "required", GpuNeed(), language="en"
        )
        lease = found.hub.reserve(ask)
        return lease, found.create(lease, ignores_signals=number % 2 == 0)

    def start(made: tuple[Lease, str]) -> None:
        lease, container = made
        watch.follow(lease.id, found.start(container))
        found.hub.activate(lease.id, container)

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(start, list(pool.map(make, range(labs)))):
            pass


class Watch:
    """Follows the labs' processes and the cohort's account from outside the platform."""

    def __init__(self, found: World, cohort: str, one: Round) -> None:
        self._found, self._cohort, self._round = found, cohort, one
        self._exits = Exits()
        self._started: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._ends: list[int] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._collect, self._look)]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._exits.close()

    @property
    def apart(self) -> float:
        """Seconds from the first end to the last."""
        return (max(self._ends) - min(self._ends)) / 1000

    def follow(self, lease_id: str, pid: int) -> None:
        """Watch a lab's first process."""
        started = started_ms(pid)
        assert started is not None, "the lab ended at its start"
        self._started[lease_id] = started
        assert self._exits.watch(lease_id, pid, started)

    def wait(self, labs: int, seconds: float) -> dict[str, int]:
        """Held time in ms by lease, once all have ended."""
        deadline = time.monotonic() + seconds
        while len(self._held) < labs:
            assert time.monotonic() < deadline, f"{labs - len(self._held)} labs still run"
            time.sleep(0.1)
        return self._held

    def _collect(self) -> None:
        while not self._over.is_set():
            for lease_id in self._exits.wait(0.2):
                self._ends.append(boot_ms())
                self._held[lease_id] = self._ends[-1] - self._started[lease_id]

    def _look(self) -> None:
        from usage.client import Refused

        while not self._over.wait(0.5):
            try:
                account = self._found.admin.budget(self._cohort)
            except Refused:
                continue  # not made yet
            if account.settled - account.overrun + account.reserved > account.cap:
                self._round.cap_broken += 1
