"""Idle GPU labs are warned, then stopped; whatever is not known to be idle is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from dli_lab import activity
from sqlalchemy import select

from core.wire import Observation, SeenContainer
from store.database import Database
from tests.unit.usage.conftest import RULES, World, slot
from usage import grants, idle
from usage.models import LeaseRow, Notice

LIMIT = 30 * 60_000


@pytest.fixture
def world(database: Database) -> World:
    made = World(database, dataclasses.replace(RULES, idle_ms=LIMIT))
    made.cohort()
    made.people("ann")
    made.slots(slot(1, simulated=True))
    return made


def minutes(
    world: World, lease, count: int, start: int, *, busy: bool | None, since: int | None = None
) -> None:
    """Heartbeats and the lab's own word (None: it says nothing), once a minute; idle since the
    minute `since` (None: `start`)."""
    began = start if since is None else since
    for minute in range(start + 1, start + count + 1):
        world.time.pass_ms(60_000)
        if busy is not None:
            seconds = 0.0 if busy else (minute - began) * 60.0
            world.usage.note_activity("ann", busy, seconds)
        world.beat((lease, minute * 60_000))


def warnings(world: World) -> list[tuple[str, int]]:
    with world.database.read() as session:
        rows = session.scalars(select(Notice).where(Notice.live).order_by(Notice.created_at)).all()
        return [(row.reason, row.threshold_ms // 60_000) for row in rows]


def test_an_idle_lab_is_warned_then_stopped(world: World) -> None:
    lease = world.running("ann")
    minutes(world, lease, 14, 0, busy=False)
    assert (warnings(world), world.usage.tick()) == ([], [])
    minutes(world, lease, 5, 14, busy=False, since=0)
    assert warnings(world) == [("idle", 30)], "the tightest threshold reached"
    minutes(world, lease, 1, 19, busy=False, since=0)
    assert warnings(world) == [("idle", 30), ("idle", 10)]
    minutes(world, lease, 9, 20, busy=False, since=0)
    assert warnings(world)[-1] == ("idle", 2)
    assert world.usage.tick() == []
    world.time.pass_ms(60_000)
    assert [due.reason for due in world.usage.tick()] == ["idle"]
    order = world.beat((lease, 30 * 60_000))[0]
    assert (order.stop, order.reason) == (True, "idle"), "the agent is the backstop"
    world.usage.release(lease.id, 30 * 60_000 + 900, "stopped", False)
    assert world.state(lease).reason == "idle"


def test_a_running_cell_is_never_idle(world: World) -> None:
    lease = world.running("ann")
    minutes(world, lease, 120, 0, busy=True)
    assert (warnings(world), world.usage.tick()) == ([], [])


def test_work_withdraws_the_warning(world: World) -> None:
    lease = world.running("ann")
    minutes(world, lease, 25, 0, busy=False)
    assert warnings(world)[-1] == ("idle", 10)
    minutes(world, lease, 1, 25, busy=True)
    assert warnings(world) == []
    minutes(world, lease, 15, 26, busy=False)
    assert world.usage.tick() == []


def test_unknown_is_never_idle(world: World) -> None:
    lease = world.running("ann")
    minutes(world, lease, 28, 0, busy=False)
    minutes(world, lease, 60, 28, busy=None)  # the lab has gone silent: it may be computing
    assert (warnings(world), world.usage.tick()) == ([], [])


@pytest.fixture
def real(world: World) -> World:
    """The same with a GPU that its host can look at."""
    world.slots(slot(1, simulated=False))
    return world


def quiet_minutes(
    world: World, lease, start: int, end: int, quiet_since: int | None, lab_since: int = 0
) -> None:
    """Heartbeats once a minute that know the GPU to be quiet since then (None: busy or unknown),
    while the lab says that nothing runs there since `lab_since`."""
    for minute in range(start + 1, end + 1):
        world.time.pass_ms(60_000)
        world.usage.note_activity("ann", False, (minute - lab_since) * 60.0)
        quiet = None if quiet_since is None else (minute - quiet_since) * 60_000
        seen = SeenContainer(f"container-{lease.id}", lease.id, minute * 60_000, True, quiet)
        world.usage.observe("h1", Observation("boot-1", [seen]))


def test_a_gpu_that_computes_or_that_nobody_can_look_at_is_never_idle(real: World) -> None:
    lease = real.running("ann")
    quiet_minutes(real, lease, 0, 120, None)
    assert (warnings(real), real.usage.tick()) == ([], [])


def test_idle_counts_from_when_kernels_and_gpu_are_both_idle(real: World) -> None:
    lease = real.running("ann")
    quiet_minutes(real, lease, 0, 10, None)
    quiet_minutes(real, lease, 10, 39, quiet_since=10)
    assert warnings(real)[-1] == ("idle", 2)
    assert real.usage.tick() == []
    quiet_minutes(real, lease, 39, 40, quiet_since=10)
    assert [due.reason for due in real.usage.tick()] == ["idle"]


def test_gpu_work_withdraws_the_warning(real: World) -> None:
    lease = real.running("ann")
    quiet_minutes(real, lease, 0, 25, quiet_since=0)
    assert warnings(real)
    quiet_minutes(real, lease, 25, 26, None)
    assert warnings(real) == []


def test_without_reports_nobody_knows_of_the_gpu(real: World) -> None:
    lease = real.running("ann")
    quiet_minutes(real, lease, 0, 25, quiet_since=0)
    with real.database.read() as session:
        row = session.get_one(LeaseRow, lease.id)
        assert idle.of_both(row, row.held_ms + 70_000) == 0
        assert idle.of_both(row, row.held_ms + 80_000) is None


def test_a_restart_of_the_service_makes_it_unknown(world: World) -> None:
    lease = world.running("ann")
    minutes(world, lease, 28, 0, busy=False)
    world.usage = type(world.usage)(world.database, world.rules, {"intro"}, world.time.clock())
    minutes(world, lease, 5, 28, busy=None)
    assert world.usage.tick() == []


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e300])
def test_absurd_words_of_a_lab(seconds: float) -> None:
    assert idle.since(5_000, False, seconds) == 5_000


def test_the_first_half_is_a_pause_to_think() -> None:
    assert grants.idle_left(LIMIT // 2 - 1, 0, LIMIT) is None
    assert grants.idle_left(LIMIT // 2, 0, LIMIT) == LIMIT // 2
    assert grants.idle_left(10 * LIMIT, 0, LIMIT) == -9 * LIMIT
    assert grants.idle_left(10 * LIMIT, 0, 0) is None


# -- the lab's own side


def program(proc: Path, pid: int, name: str, state: str = "S") -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{name}\n")
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {state} 1 1")


def server(*states: str) -> SimpleNamespace:
    from datetime import UTC, datetime, timedelta

    then = datetime.now(UTC) - timedelta(seconds=600)
    kernels = {
        str(n): SimpleNamespace(
            execution_state=state, last_activity=then, provisioner=SimpleNamespace(pid=100 + n)
        )
        for n, state in enumerate(states)
    }
    return SimpleNamespace(
        kernel_manager=SimpleNamespace(
            list_kernel_ids=lambda: list(kernels), get_kernel=kernels.__getitem__
        ),
        web_app=SimpleNamespace(settings={"started": then - timedelta(seconds=60)}),
    )


@pytest.mark.parametrize(
    ("states", "programs", "busy"),
    [
        (("idle", "idle"), {}, False),
        ((), {}, False),
        (("idle",), {200: "bash"}, False),
        (("idle", "busy"), {}, True),
        (("starting",), {}, True),
        (("idle",), {200: "python3"}, True),
    ],
)
def test_what_a_lab_says_of_itself(tmp_path: Path, states, programs, busy: bool) -> None:
    program(tmp_path, 1, "timeout")
    for number in range(len(states)):
        program(tmp_path, 100 + number, "python3")
    for pid, name in programs.items():
        program(tmp_path, pid, name)
    program(tmp_path, 300, "python3", "Z")
    said = activity.observe(server(*states), tmp_path)
    assert said is not None
    assert said["busy"] is busy
    if not busy:
        assert 595 < said["idle_seconds"] < 700


def test_a_kernel_in_an_unknown_state_says_nothing(tmp_path: Path) -> None:
    assert activity.observe(server("idle", "lost"), tmp_path) is None
