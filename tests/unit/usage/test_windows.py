"""Reserved windows keep places; a cap per day; an admin changes limits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.units import WHOLE
from core.wire import GpuNeed
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, START, World, slot
from usage.refusals import No


def refused(world: World, who: str, **more) -> str:
    with pytest.raises(No) as caught:
        world.reserve(who, **more)
    return caught.value.code


def reserve(world: World, cohort: str, hours: tuple[float, float], seats: int) -> None:
    begin, end = ((START + timedelta(hours=hour)).isoformat() for hour in hours)
    world.usage.add_window(cohort, begin, end, seats, GpuNeed("mig"), "admin")


@pytest.fixture
def two(world: World) -> World:
    for name in ("kt", "other"):
        world.cohort(name)
    world.people("ann", "bob")
    world.people("eve", "fay", cohort="other")
    world.slots(slot(1), slot(2))
    return world


def test_a_window_keeps_places_for_its_cohort(two: World) -> None:
    reserve(two, "kt", (1, 3), 2)
    first = two.reserve("eve", cohort="other")
    two.usage.release(first.id, 0, "stopped", False)
    two.time.pass_ms(3_600_000)
    assert refused(two, "eve", cohort="other") == "gpu_full"
    two.usage.tick()
    assert two.usage.place_of("eve").state == "waiting", "kept places are not offered to others"
    two.running("ann")
    two.running("bob")
    two.time.pass_ms(2 * 3_600_000)
    two.usage.tick()
    audit.check(two.database)


def test_labs_of_the_cohort_count_against_its_seats(two: World) -> None:
    reserve(two, "kt", (0, 3), 1)
    two.running("ann")
    two.reserve("eve", cohort="other")


def test_a_window_given_up_keeps_nothing(two: World) -> None:
    reserve(two, "kt", (0, 3), 2)
    assert refused(two, "eve", cohort="other") == "gpu_full"
    from usage import desk

    with two.database.read() as session:
        (window,) = desk.windows_of(session, "kt")
    two.usage.remove_window("kt", window.id)
    two.reserve("eve", cohort="other")
    with pytest.raises(No, match="window_unknown"):
        two.usage.remove_window("other", window.id)


@pytest.mark.parametrize(
    ("cohort", "hours", "seats", "code"),
    [
        ("kt", (2, 4), 1, "window_overlaps"),
        ("other", (2, 4), 2, "window_too_large"),
        ("other", (4, 4), 1, "window_time"),
        ("other", (-3, -1), 1, "window_time"),
        ("other", (5, 24 * 9), 1, "window_time"),
        ("other", (24 * 29.5, 24 * 31), 1, "window_outside"),
        ("other", (5, 6), 0, "number_out_of_range"),
    ],
)
def test_windows_that_cannot_be(
    two: World, cohort: str, hours: tuple[float, float], seats: int, code: str
) -> None:
    reserve(two, "kt", (1, 3), 1)
    with pytest.raises(No, match=code):
        reserve(two, cohort, hours, seats)


def test_windows_beside_each_other(two: World) -> None:
    reserve(two, "kt", (1, 3), 1)
    reserve(two, "other", (2, 4), 1)
    reserve(two, "kt", (4, 5), 2)


def test_a_cap_for_one_day(world: World) -> None:
    world.cohort(daily_cap=3 * MINUTE, timezone="Asia/Seoul")
    world.people("ann", "bob")
    world.slots(slot(1), slot(2))
    lease = world.running("ann")
    assert lease.grant_ms == 180_000
    world.run_for(lease, 170)
    world.time.pass_ms(9_500)
    assert [due.reason for due in world.usage.tick()] == ["daily_cap"]
    world.usage.release(lease.id, 180_000, "stopped", False)
    assert refused(world, "ann") == "daily_cap_used"
    assert world.reserve("bob").grant_ms == 180_000
    world.time.pass_ms(6 * 3_600_000)  # START is 18:00 in Seoul: the next day has begun there
    assert world.reserve("ann").grant_ms == 180_000
    audit.check(world.database)


def test_a_lab_over_midnight_draws_on_both_days(world: World) -> None:
    world.cohort(daily_cap=10 * MINUTE, timezone="Asia/Seoul")
    world.people("ann")
    world.slots(slot(1))
    world.time.pass_ms(6 * 3_600_000 - 120_000)
    lease = world.running("ann")
    order = world.run_for(lease, 1_000)
    assert not order.stop
    assert order.grant_ms <= 720_000 + 10_000, "two minutes of yesterday and ten of today"
    assert world.state(lease).charged <= 1_000_000 * WHOLE
    audit.check(world.database)


def test_limits_can_be_changed_and_keep_the_rest(world: World) -> None:
    from usage import forms, views

    world.cohort(learner_cap=HOUR, max_gpu_labs=3)
    with world.database.read() as session:
        now = views.spec_of(views.cohort(session, "kt"))
    form = forms.LimitsForm(learner_hours="2", daily_hours="0.5", max_gpu_labs="")
    world.usage.put_cohort(forms.limits(form, now))
    with world.database.read() as session:
        after = views.spec_of(views.cohort(session, "kt"))
    assert (after.learner_cap, after.daily_cap, after.max_gpu_labs) == (2 * HOUR, HOUR // 2, None)
    assert (after.name, after.starts, after.ends) == (now.name, now.starts, now.ends)
