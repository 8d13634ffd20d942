"""A hundred starts at once for the last slot or the last GPU-minute give exactly one lab, also when
several processes share the database."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from store.database import Database
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, World, slot
from usage.refusals import No

_PROCESSES, _THREADS = 4, 25

_STARTERS = """
import multiprocessing, sys, threading
from core.wire import GpuNeed, ReserveRequest
from tests.unit.usage.conftest import RULES, FakeTime
from usage.database import open_database
from usage.refusals import No
from usage.service import Usage

address, code, processes, threads = *sys.argv[1:3], *map(int, sys.argv[3:])

def starts(process, together, wins):
    usage = Usage(open_database(address), RULES, {"intro"}, FakeTime().clock())
    won = []

    def start(number):
        name = f"p{process}-{number}"
        ask = ReserveRequest(name, name, "kt", "intro", "first", GpuNeed("shared"))
        try:
            won.append(usage.reserve(ask).id)
        except No as no:
            assert no.code == code, no.code

    together.wait(120)  # nobody waits for one that could not begin
    running = [threading.Thread(target=start, args=(n,)) for n in range(threads)]
    [t.start() for t in running]
    [t.join() for t in running]
    wins.put(len(won))

# Forked before there is a connection: what takes long, the imports, is done once.
forked = multiprocessing.get_context("fork")
together, wins = forked.Barrier(processes), forked.SimpleQueue()
children = [
    forked.Process(target=starts, args=(n, together, wins), daemon=True) for n in range(processes)
]
[child.start() for child in children]
[child.join() for child in children]
print(*(wins.get() for child in children if child.exitcode == 0))
"""


@pytest.mark.parametrize(
    ("slots", "gpu", "code"),
    [(1, 100 * HOUR, "gpu_full"), (100, MINUTE // 4, "budget_used")],
    ids=["the last slot", "the last quarter of a GPU-minute"],
)
def test_one_of_a_hundred_wins(
    world: World, database: Database, slots: int, gpu: int, code: str
) -> None:
    world.cohort(gpu=gpu)
    for process in range(_PROCESSES):
        world.people(*[f"p{process}-{n}" for n in range(_THREADS)])
    world.slots(*[slot(n) for n in range(slots)])
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _STARTERS, database.url, code, str(_PROCESSES), str(_THREADS)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        timeout=300,
        check=True,
    )
    wins = [int(number) for number in done.stdout.split()]
    assert len(wins) == _PROCESSES
    assert sum(wins) == 1
    audit.check(database)


def test_one_seat_of_an_event_code(world: World) -> None:
    world.cohort()
    world.usage.put_code("LAST-SEAT", "kt", 1, "", "trainee")
    results: list[str] = []

    def join(number: int) -> None:
        try:
            world.usage.join("last-seat", f"n{number}", "", "")
            results.append("in")
        except No as no:
            results.append(no.code)

    threads = [threading.Thread(target=join, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["code_full"] * 19 + ["in"]


def test_reports_and_releases_of_one_lab_at_once_charge_once(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")

    def report() -> None:
        world.beat((lease, 170_000))
        world.usage.release(lease.id, 170_000, "stopped", False)

    threads = [threading.Thread(target=report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.usage.budget("kt").settled == 170_000 * 840
    audit.check(world.database)
