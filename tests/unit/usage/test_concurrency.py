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

_CHILD = """
import sys, threading
from core.wire import GpuNeed, ReserveRequest
from datetime import datetime, UTC
from tests.unit.usage.conftest import RULES, FakeTime
from usage.database import open_database
from store.database import Database
from usage.refusals import No
from usage.service import Usage

usage = Usage(open_database(sys.argv[1]), RULES, {"intro"}, FakeTime().clock())
print("ready", flush=True)
sys.stdin.readline()
won = []

def start(number):
    name = f"p{sys.argv[2]}-{number}"
    ask = ReserveRequest(name, name, "kt", "intro", "first", GpuNeed("shared"))
    try:
        won.append(usage.reserve(ask).id)
    except No as no:
        assert no.code == sys.argv[3], no.code

threads = [threading.Thread(target=start, args=(n,)) for n in range(int(sys.argv[4]))]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(won), flush=True)
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
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, database.url, str(n), code, str(_THREADS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for n in range(_PROCESSES)
    ]
    try:
        assert [child.stdout.readline() for child in children] == ["ready\n"] * _PROCESSES
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        wins = [int(child.stdout.readline() or -99) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
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
