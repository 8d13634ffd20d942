"""Placement: properties over random inventories, and the choices people rely on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.units import WHOLE
from core.wire import GpuNeed, Slot
from tests.unit.usage.conftest import slot
from usage.placement import NoPlace, place

NONE: frozenset[str] = frozenset()


@st.composite
def inventories(draw: st.DrawFn) -> list[Slot]:
    slots: list[Slot] = []
    for gpu in range(draw(st.integers(0, 5))):
        host = draw(st.sampled_from(["h1", "h2"]))
        kind = draw(st.sampled_from(["whole", "mig", "seat"]))
        parts = {"whole": 1, "mig": 7, "seat": 4}[kind]
        memory = 80_000 if kind == "seat" else 80_000 // parts
        slots += [
            slot(
                gpu * 10 + part,
                WHOLE // parts,
                kind,
                host,
                gpu=f"GPU-{gpu}",
                memory_mb=memory,
                healthy=draw(st.integers(0, 9)) > 0,
            )
            for part in range(parts)
        ]
    return slots


needs = st.builds(
    GpuNeed,
    isolation=st.sampled_from(["exclusive", "mig", "shared"]),
    memory_mb=st.sampled_from([0, 5_000, 20_000, 80_000]),
    count=st.integers(1, 3),
)


@given(inventories(), needs, st.data())
def test_a_place_is_free_fits_and_is_on_one_host(slots, need, data) -> None:
    taken = data.draw(
        st.lists(st.sampled_from(slots), unique_by=lambda s: s.id) if slots else st.just([])
    )
    closed = frozenset(s.id for s in slots if data.draw(st.integers(0, 4)) == 0)
    found = place(slots, taken, need, closed)
    if isinstance(found, NoPlace):
        return
    assert len(found) == need.count == len({s.gpu for s in found})
    assert len({s.host for s in found}) == 1
    busy = {s.id for s in taken}
    for chosen in found:
        assert chosen.id not in busy | closed
        assert chosen.healthy
        assert chosen.memory_mb >= need.memory_mb
        assert need.isolation == "shared" or chosen.kind != "seat"
        assert need.isolation != "exclusive" or chosen.kind == "whole"


@given(inventories(), needs)
def test_full_is_said_only_when_nothing_fitting_is_free(slots, need) -> None:
    held: list[Slot] = []
    while not isinstance(found := place(slots, held, need, NONE), NoPlace):
        held += found
    if found.code == "full" and need.count == 1:
        left = [s for s in slots if s.healthy and s not in held and s.memory_mb >= need.memory_mb]
        kinds = {
            "exclusive": ["whole"],
            "mig": ["mig", "whole"],
            "shared": ["seat", "mig", "whole"],
        }[need.isolation]
        assert not [s for s in left if s.kind in kinds]


@given(inventories(), needs, st.randoms())
def test_the_order_of_the_inventory_decides_nothing(slots, need, random) -> None:
    shuffled = list(slots)
    random.shuffle(shuffled)
    assert place(slots, [], need, NONE) == place(shuffled, [], need, NONE)


def test_the_lightest_fitting_slot_is_taken() -> None:
    slots = [slot(1), slot(11, 120, "mig", memory_mb=10_000), slot(21, 360, "mig")]
    assert place(slots, [], GpuNeed("mig", 5_000), NONE) == [slots[1]]
    assert place(slots, [], GpuNeed("mig", 20_000), NONE) == [slots[2]]
    assert place(slots, [], GpuNeed("exclusive"), NONE) == [slots[0]]


def test_slices_are_packed_on_a_gpu_in_use() -> None:
    slots = [slot(n, 120, "mig", gpu=f"GPU-{n // 10}") for n in (1, 2, 11, 12)]
    assert place(slots, [slots[2]], GpuNeed(), NONE) == [slots[3]]


def test_why_there_is_no_place() -> None:
    seat = slot(1, 210, "seat")
    assert place([], [], GpuNeed(), NONE) == NoPlace("none")
    assert place([seat], [], GpuNeed("mig"), NONE) == NoPlace("unfit")
    assert place([seat], [], GpuNeed("shared", 10**6), NONE) == NoPlace("unfit")
    assert place([seat], [seat], GpuNeed("shared"), NONE) == NoPlace("full")
    assert place([seat], [], GpuNeed("shared"), frozenset({seat.id})) == NoPlace("full")
    assert place([slot(1, healthy=False)], [], GpuNeed(), NONE) == NoPlace("full")


def test_several_gpus_come_from_one_host_and_are_not_slices() -> None:
    slots = [slot(1), slot(2, host="h2"), slot(3, host="h2"), slot(14, 120, "mig", host="h1")]
    assert place(slots, [], GpuNeed("mig", 0, 2), NONE) == slots[1:3]
    assert place(slots, [slots[1]], GpuNeed("mig", 0, 2), NONE) == NoPlace("full")


def test_a_gpu_that_was_repartitioned_under_a_lab_is_not_given_away() -> None:
    old = slot(1, 120, "mig", gpu="GPU-0")
    assert place([slot(2, gpu="GPU-0")], [old], GpuNeed(), NONE) == NoPlace("full")
