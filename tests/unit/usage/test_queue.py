"""The queue for GPUs: the order (pure, by properties), offers that hold, and what people see."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import WHOLE
from core.wire import GpuNeed, Slot
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, RULES, World, slot
from usage.placement import NoPlace, place
from usage.queue import Holding, Scene, Waiter, next_offers, outlook
from usage.refusals import No

COHORTS = ("a", "b", "c")
NEEDS = (GpuNeed("mig"), GpuNeed("exclusive"), GpuNeed("shared", 60_000))


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    kinds = draw(st.lists(st.sampled_from(["whole", "mig", "seat"]), min_size=1, max_size=7))
    slots = tuple(
        slot(n, WHOLE if kind == "whole" else 120, kind, gpu=f"GPU-{n // 2}-{kind}")
        for n, kind in enumerate(kinds)
    )
    held = draw(st.lists(st.sampled_from(slots), unique=True, max_size=len(slots)))
    holdings = tuple(
        Holding(draw(st.sampled_from(COHORTS)), (one,), draw(st.integers(0, 9_000))) for one in held
    )
    room = draw(st.dictionaries(st.sampled_from(COHORTS), st.integers(1, 4)))
    return Scene(slots, frozenset(), holdings, room)


waiters = st.lists(st.tuples(st.sampled_from(COHORTS), st.sampled_from(NEEDS)), max_size=8).map(
    lambda pairs: [Waiter(n, cohort, need, n) for n, (cohort, need) in enumerate(pairs)]
)


def taken_by(scene: Scene) -> list[Slot]:
    return [one for holding in scene.holdings for one in holding.slots]


@given(scenes(), waiters)
def test_offers_are_free_distinct_and_leave_no_gpu_idle(scene: Scene, line: list[Waiter]) -> None:
    offers = next_offers(line, scene)
    given_out = [one for offer in offers for one in offer.slots]
    taken = taken_by(scene)
    assert len({one.id for one in given_out}) == len(given_out)
    assert not {one.id for one in given_out} & {one.id for one in taken}
    labs = Counter(h.cohort for h in scene.holdings) + Counter(o.waiter.cohort for o in offers)
    served = {offer.waiter.id for offer in offers}
    for waiter in line:
        if waiter.id not in served and labs[waiter.cohort] < scene.room.get(waiter.cohort, 99):
            after = place(scene.inventory, taken + given_out, waiter.need, frozenset())
            assert isinstance(after, NoPlace), "a fitting GPU stands idle beside a waiting person"
    for cohort, most in scene.room.items():
        before = Counter(h.cohort for h in scene.holdings)[cohort]
        assert labs[cohort] <= max(most, before)


@given(scenes(), waiters)
def test_of_one_cohort_and_need_the_first_comes_first(scene: Scene, line: list[Waiter]) -> None:
    served = {offer.waiter.id for offer in next_offers(line, scene)}
    for late in line:
        for early in line[: late.id]:
            if (early.cohort, early.need) == (late.cohort, late.need) and late.id in served:
                assert early.id in served


@given(scenes(), waiters)
def test_everybody_has_one_place_and_those_served_now_do_not_wait(
    scene: Scene, line: list[Waiter]
) -> None:
    looks = outlook(line, scene, 10_000)
    assert sorted(look.position for look in looks.values()) == list(range(1, len(line) + 1))
    for offer in next_offers(line, scene):
        assert looks[offer.waiter.id].wait_ms == 0
    waits = [look.wait_ms for look in sorted(looks.values(), key=lambda look: look.position)]
    known = [wait for wait in waits if wait is not None]
    assert known == sorted(known), "a later place has no shorter wait"
    assert waits[: len(known)] == known, "who can never be served stands behind all others"


def test_the_cohort_with_the_smaller_share_goes_first() -> None:
    free, held = slot(1), slot(2)
    line = [Waiter(1, "a", GpuNeed(), 1), Waiter(2, "b", GpuNeed(), 2)]
    scene = Scene((free, held), frozenset(), (Holding("a", (held,), 5_000),))
    assert [offer.waiter.cohort for offer in next_offers(line, scene)] == ["b"]
    looks = outlook(line, scene, 60_000)
    assert [(looks[n].position, looks[n].wait_ms) for n in (2, 1)] == [(1, 0), (2, 5_000)]


def test_a_large_need_does_not_hold_up_those_behind_it() -> None:
    line = [Waiter(1, "a", GpuNeed("exclusive"), 1), Waiter(2, "a", GpuNeed("mig"), 2)]
    scene = Scene((slot(1, 120, "mig"), slot(2)), frozenset(), (Holding("b", (slot(2),), 7_000),))
    assert [offer.waiter.id for offer in next_offers(line, scene)] == [2]
    assert outlook(line, scene, 60_000)[1].wait_ms == 7_000


# -- in the service


@pytest.fixture
def full(world: World) -> World:
    """One GPU, held by ann; bob and cho wait for it in this order."""
    world.cohort()
    world.people("ann", "bob", "cho", "dan")
    world.slots(slot(1))
    world.ann = world.running("ann")
    for number, who in enumerate(("bob", "cho"), 1):
        no = refused(world, who)
        assert (no.code, no.details["position"]) == ("gpu_full", number)
    return world


def refused(world: World, who: str) -> No:
    with pytest.raises(No) as caught:
        world.reserve(who)
    return caught.value


def state(world: World, who: str) -> tuple[str, int] | None:
    world.time.pass_ms(2_000)  # what is shown may be a second old
    place = world.usage.place_of(who)
    return (place.state, place.position) if place else None


def test_a_refused_start_waits_with_place_and_time(full: World) -> None:
    assert state(full, "bob") == ("waiting", 1)
    assert state(full, "cho") == ("waiting", 2)
    bob, cho = (full.usage.place_of(who) for who in ("bob", "cho"))
    assert bob.wait_ms == RULES.lab_max_ms - 4_000
    assert cho.wait_ms == 2 * RULES.lab_max_ms - 4_000
    assert refused(full, "bob").details["position"] == 1, "asking again keeps the place"


def test_a_free_gpu_is_held_for_the_first_and_for_nobody_else(full: World) -> None:
    full.usage.release(full.ann.id, 60_000, "stopped", False)
    full.usage.tick()
    assert state(full, "bob") == ("offered", 0)
    for who in ("cho", "dan"):
        assert refused(full, who).code == "gpu_full"
    lease = full.reserve("bob")
    assert lease.slots[0].id == "slot-1"
    assert state(full, "bob") is None
    assert state(full, "cho") == ("waiting", 1)
    audit.check(full.database)


def test_a_newcomer_does_not_overtake_even_before_the_next_tick(full: World) -> None:
    full.usage.release(full.ann.id, 60_000, "stopped", False)
    assert refused(full, "dan").code == "gpu_full"
    full.reserve("bob")


def test_an_offer_that_is_not_taken_passes_on(full: World) -> None:
    full.usage.release(full.ann.id, 60_000, "stopped", False)
    full.usage.tick()
    full.time.pass_ms(RULES.offer_ms)
    full.usage.tick()
    assert state(full, "bob") == ("missed", 0)
    assert state(full, "cho") == ("offered", 0)
    full.time.jump(+1)  # the wall clock decides nothing
    full.usage.tick()
    assert state(full, "cho") == ("offered", 0)


def test_leaving_the_queue_and_losing_the_right_to_start(full: World) -> None:
    full.usage.leave_queue("bob")
    assert state(full, "bob") is None
    full.usage.release(full.ann.id, 60_000, "stopped", False)
    full.usage.book("kt", "correction", -(10 * HOUR - 60_000 * WHOLE), "admin", "end", "k9")
    full.usage.tick()
    assert state(full, "cho") is None, "nothing is held for somebody who cannot start"


def test_a_cohort_at_its_limit_waits_for_itself_and_holds_up_nobody(world: World) -> None:
    world.cohort(max_gpu_labs=1)
    world.cohort("other")
    world.people("ann", "bob")
    world.people("eve", cohort="other")
    world.slots(slot(1), slot(2))
    lease = world.running("ann")
    assert refused(world, "bob").code == "cohort_busy"
    world.usage.tick()
    assert state(world, "bob") == ("waiting", 1)
    world.reserve("eve", cohort="other")
    world.usage.release(lease.id, 10_000, "stopped", False)
    world.usage.tick()
    assert state(world, "bob") == ("offered", 0)


def test_many_starts_at_once_never_take_what_is_offered(full: World) -> None:
    names = [f"n{number}" for number in range(30)]
    full.people(*names)
    full.usage.release(full.ann.id, 60_000, "stopped", False)
    won: list[str] = []

    def start(who: str) -> None:
        try:
            full.reserve(who)
            won.append(who)
        except No as no:
            assert no.code == "gpu_full"  # noqa: PT017 - raised in a thread

    threads = [threading.Thread(target=start, args=(who,)) for who in ["cho", *names, "bob"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == ["bob"]
    audit.check(full.database)
