"""Attempts to get GPU time for nothing, to be charged twice or to take a lab from somebody: odd
orders, everything at once, replays, two agents of one name, restarts. The books agree after each.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.units import WHOLE
from core.wire import Lease, Observation, SeenContainer
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, RULES, World, slot
from usage import failures
from usage.database import open_database
from usage.refusals import No
from usage.service import Usage


def report(world: World, *seen: tuple[Lease, int], boot: str = "boot-1", looked: bool = True):
    containers = [SeenContainer(f"c-{v.id}", v.id, held, True) for v, held in seen]
    return world.usage.observe("h1", Observation(boot, containers, looked=looked))


def ended(world: World, lease: Lease) -> bool:
    return world.state(lease).state == "ended"


# -- reports


def test_a_report_made_without_a_look_at_docker_closes_nothing(ready: World) -> None:
    """The lab had just started when Docker stopped answering."""
    lease = ready.running("ann")
    for _ in range(5):
        report(ready, looked=False)
    assert not ended(ready, lease)
    report(ready)
    report(ready, looked=False)
    assert not ended(ready, lease), "one whole report is not two"
    report(ready)
    assert ended(ready, lease)


def test_two_machines_of_one_name_close_no_lab_of_each_other(ready: World) -> None:
    lease = ready.running("ann")
    for held in range(10_000, 200_000, 10_000):
        report(ready, (lease, held), boot="boot-1")
        report(ready, boot="boot-2")
        report(ready, boot="boot-2")
    assert not ended(ready, lease)
    report(ready, boot="boot-2")  # the first is gone for good
    assert ended(ready, lease)
    assert ready.state(lease).charged == 190_000 * WHOLE
    audit.check(ready.database)


def test_replayed_reports_charge_nothing_and_take_nothing_back(ready: World) -> None:
    lease = ready.running("ann")
    for held in (10_000, 200_000, 10_000, 200_000, 150_000):
        report(ready, (lease, held), (lease, held))
    ready.usage.release(lease.id, 5_000, "stopped", False)
    for held in (10_000, 900_000):
        (order,) = report(ready, (lease, held))
        assert order.stop
    assert ready.usage.budget("kt").settled == 200_000 * WHOLE
    audit.check(ready.database)


@pytest.mark.parametrize("held", [-1, -(10**15), 10**15, 2**62])
def test_an_impossible_held_time_changes_no_charge(ready: World, held: int) -> None:
    lease = ready.running("ann")
    report(ready, (lease, 100_000))
    report(ready, (lease, held))
    with pytest.raises(No):
        ready.usage.release(lease.id, held, "stopped", False)
    ready.usage.release(lease.id, None, "stopped", False)
    assert ready.usage.budget("kt").settled == 100_000 * WHOLE
    audit.check(ready.database)


# -- orders of calls


def test_calls_in_an_order_that_never_happens(ready: World) -> None:
    ask = ready.ask("ann", spawn="s")
    lease = ready.usage.reserve(ask)
    report(ready, (lease, 20_000))  # the agent was quicker than the spawner
    ready.usage.release(lease.id, 20_000, "stopped", False)
    for late in (
        lambda: ready.usage.activate(lease.id, "c"),
        lambda: ready.usage.reserve(ask),
    ):
        with pytest.raises(No, match="lease_ended"):
            late()
    ready.usage.release(lease.id, 90_000, "start_abandoned", True)
    assert ready.state(lease).charged == 20_000 * WHOLE, "no fault makes it free afterwards"
    ready.usage.refund("kt", lease.id, None, "root", "sorry", "refund-1")
    ready.usage.refund("kt", lease.id, None, "root", "sorry", "refund-1")
    with pytest.raises(No, match="refund_amount"):
        ready.usage.refund("kt", lease.id, 1, "root", "more", "refund-2")
    assert ready.usage.budget("kt").settled == 0
    audit.check(ready.database)


def test_a_restart_between_reserve_and_activate(ready: World) -> None:
    lease = ready.reserve("ann")
    ready.database.close()
    ready.database = open_database(ready.database.url)
    ready.usage = Usage(ready.database, RULES, {"intro"}, ready.time.clock())
    ready.time.pass_ms(20_000)
    assert ready.usage.tick() == []
    assert ready.usage.activate(lease.id, "c").state == "active"
    ready.run_for(lease, 60)
    ready.usage.release(lease.id, 60_000, "stopped", False)
    assert ready.usage.budget("kt").settled == 60_000 * WHOLE
    audit.check(ready.database)


def test_everything_at_once_charges_each_lab_once(world: World) -> None:
    """Six labs; each call of a lab's life comes several times, from many threads, in any order."""
    world.cohort(gpu=10 * HOUR)
    names = [f"n{number}" for number in range(6)]
    world.people(*names)
    world.slots(*(slot(number) for number in range(6)))
    labs = [world.running(name) for name in names]
    acts: list[Callable[[], object]] = []
    for number, lab in enumerate(labs):
        held = 170_000 + number
        acts += [
            lambda lab=lab, held=held: report(world, (lab, held)),
            lambda lab=lab, held=held: report(world, (lab, held), looked=False),
            lambda lab=lab, held=held: world.usage.release(lab.id, held, "stopped", False),
            lambda lab=lab: world.usage.activate(lab.id, "again"),
        ]
    acts += [world.usage.tick, world.usage.warn] * 3
    acts *= 2
    random.Random(7).shuffle(acts)
    odd: list[BaseException] = []

    def play(mine: list[Callable[[], object]]) -> None:
        for act in mine:
            try:
                act()
            except No:
                pass
            except BaseException as error:
                odd.append(error)

    threads = [threading.Thread(target=play, args=(acts[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert odd == []
    for number, lab in enumerate(labs):
        state = world.state(lab)
        assert state.state == "ended"
        # Reports name one lab each here: two in a row that do not name it end it as last seen.
        assert state.held_ms in (0, 170_000 + number)
        assert state.charged == state.held_ms * WHOLE
    audit.check(world.database)


# -- clocks


def test_a_day_of_25_hours_is_one_day(world: World) -> None:
    """The night in which Berlin's clocks go back: 02:30 comes twice, the share comes once."""
    world.cohort(
        timezone="Europe/Berlin",
        daily_cap=30 * MINUTE,
        starts="2026-10-01T00:00:00+02:00",
        ends="2026-12-01T00:00:00+01:00",
    )
    world.people("ann")
    world.slots(slot(1))
    world.time.wall = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30, summer time
    first = world.running("ann")
    world.run_for(first, 1200)
    world.usage.release(first.id, 1_200_000, "stopped", False)
    world.time.wall = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 again, winter time
    second = world.running("ann")
    world.run_for(second, 600)
    world.usage.release(second.id, 600_000, "stopped", False)
    assert [c.charged for c in world.usage.charges("kt")] == [600_000 * WHOLE, 1_200_000 * WHOLE]
    world.time.wall = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)  # 23:30
    with pytest.raises(No, match="daily_cap_used"):
        world.reserve("ann")
    world.time.wall = datetime(2026, 10, 25, 23, 1, tzinfo=UTC)  # a new day
    assert world.reserve("ann").grant_ms == RULES.window_ms
    audit.check(world.database)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_of_the_clock_between_any_two_calls_changes_no_charge(
    ready: World, hours: int
) -> None:
    def step() -> None:
        ready.time.jump(hours)

    lease = ready.reserve("ann")
    step()
    ready.usage.activate(lease.id, "c")
    step()
    ready.run_for(lease, 200)
    step()
    assert ready.usage.tick() == []
    ready.run_for(lease, 200, start=200)
    step()
    ready.usage.release(lease.id, 401_000, "stopped", False)
    step()
    ready.usage.release(lease.id, 999_000, "stopped", False)
    assert ready.usage.budget("kt").settled == 401_000 * WHOLE
    audit.check(ready.database)


# -- free time


def fail(world: World, seconds: int) -> None:
    """A start that holds a GPU for a while and never answers."""
    lease = world.running("ann")
    report(world, (lease, seconds * 1000))
    world.usage.release(lease.id, seconds * 1000, "start_abandoned", True)
    assert world.state(lease).charged == 0
    world.time.pass_ms(seconds * 1000)


def test_starts_that_are_made_to_fail_give_no_gpu_for_ever(ready: World) -> None:
    for _ in range(20):
        fail(ready, 5)  # an image that is missing, a server that breaks at once
    for _ in range(failures.MOST):
        fail(ready, 119)
    with pytest.raises(No, match="starts_fail") as caught:
        ready.reserve("ann")
    assert caught.value.details["count"] == failures.MOST
    again = caught.value.details["at"]
    assert timedelta() < again - ready.time.wall <= failures.WITHIN
    assert ready.reserve("bob").grant_ms == RULES.window_ms, "others start"
    ready.time.pass_ms(int((again - ready.time.wall).total_seconds() * 1000) + 1)
    assert ready.reserve("ann").grant_ms == RULES.window_ms
    audit.check(ready.database)


def test_a_lab_that_is_late_to_be_called_a_fault_is_charged(ready: World) -> None:
    """Free only within the first minutes, whatever the stop says."""
    lease = ready.running("ann")
    report(ready, (lease, 181_000))
    ready.usage.release(lease.id, 10_000, "start_abandoned", True)
    assert ready.state(lease).charged == 181_000 * WHOLE


# -- people


def test_who_moves_to_another_cohort_keeps_the_history(ready: World) -> None:
    lease = ready.running("ann")
    ready.usage.release(lease.id, 300_000, "stopped", False)
    ready.cohort("new")
    ready.usage.enrol("new", "ann", "trainee")
    ready.usage.remove_member("kt", "ann", "root", "moved")
    with pytest.raises(No, match="not_enrolled"):
        ready.reserve("ann")
    second = ready.running("ann", cohort="new")
    ready.usage.release(second.id, 60_000, "stopped", False)
    assert [c.charged for c in ready.usage.charges("kt")] == [300_000 * WHOLE]
    assert ready.usage.budget("kt").settled == 300_000 * WHOLE
    assert ready.usage.budget("new").settled == 60_000 * WHOLE
    audit.check(ready.database)


def test_of_two_cohorts_the_chosen_one_pays(ready: World) -> None:
    ready.cohort("lab2", gpu=MINUTE)
    ready.usage.enrol("lab2", "ann", "trainee")
    lease = ready.running("ann", cohort="lab2")
    ready.usage.release(lease.id, 30_000, "stopped", False)
    assert (ready.usage.budget("kt").settled, ready.usage.budget("lab2").settled) == (
        0,
        30_000 * WHOLE,
    )


# -- weights


def test_a_models_factor_is_charged(world: World) -> None:
    world.cohort()
    world.people("ann", "bob")
    world.slots(replace(slot(1), weight=2 * WHOLE), slot(2, WHOLE // 4))
    for lease in (world.running("ann"), world.running("bob")):
        world.usage.release(lease.id, 1_000, "stopped", False)
    assert sorted(c.charged for c in world.usage.charges("kt")) == [
        1_000 * WHOLE // 4,
        2_000 * WHOLE,
    ]
    audit.check(world.database)
