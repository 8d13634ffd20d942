"""Starting, running and ending GPU labs: one test per promise."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.units import WHOLE
from core.wire import LeaseOrder
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, START, World, slot
from usage.refusals import No


def refused(world: World, who: str, **more) -> No:
    with pytest.raises(No) as caught:
        world.reserve(who, **more)
    return caught.value


def test_a_session_is_charged_to_the_second(ready: World) -> None:
    lease = ready.running("ann", isolation="exclusive")
    ready.run_for(lease, 600)
    ready.usage.release(lease.id, 601_250, "stopped", False)
    charge = ready.state(lease)
    assert (charge.held_ms, charge.charged, charge.overrun) == (601_250, 601_250 * WHOLE, 0)
    budget = ready.usage.budget("kt")
    assert (budget.settled, budget.reserved) == (601_250 * WHOLE, 0)
    audit.check(ready.database)


def test_the_same_spawn_id_gives_the_same_lease(ready: World) -> None:
    ask = ready.ask("ann", spawn="s")
    assert ready.usage.reserve(ask) == ready.usage.reserve(ask)
    assert ready.usage.budget("kt").reserved == 300_000 * WHOLE


def test_release_and_reports_are_harmless_when_repeated(ready: World) -> None:
    lease = ready.running("ann")
    for _ in range(3):
        ready.beat((lease, 200_000))
    ready.beat((lease, 150_000))  # a late report
    assert ready.state(lease).held_ms == 200_000
    for _ in range(3):
        ready.usage.release(lease.id, 200_000, "stopped", False)
    assert ready.usage.budget("kt").settled == 200_000 * WHOLE
    audit.check(ready.database)


def test_clock_jumps_change_no_charge(ready: World) -> None:
    lease = ready.running("ann")
    ready.run_for(lease, 60)
    ready.time.jump(+1)
    ready.run_for(lease, 60, start=60)
    ready.time.jump(-2)
    ready.run_for(lease, 60, start=120)
    ready.usage.release(lease.id, 180_000, "stopped", False)
    assert ready.state(lease).charged == 180_000 * WHOLE


def test_a_grant_grows_while_money_is_there(ready: World) -> None:
    lease = ready.running("ann")
    order = ready.run_for(lease, 1200)
    assert not order.stop
    assert order.grant_ms - 1_200_000 >= 150_000
    audit.check(ready.database)


def test_the_budget_ends_a_lab_exactly_at_the_cap(world: World) -> None:
    world.cohort(gpu=7 * MINUTE)
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")
    order = world.run_for(lease, 410)
    assert order.grant_ms == 420_000
    assert world.usage.tick() == []
    world.time.pass_ms(9_500)
    (due,) = world.usage.tick()
    assert (due.username, due.reason) == ("ann", "budget")
    world.usage.release(lease.id, 420_300, "stopped", False)
    charge = world.state(lease)
    assert (charge.charged, charge.overrun) == (420_300 * WHOLE, 300 * WHOLE)
    assert charge.reason == "budget"
    assert refused(world, "ann").code == "budget_used"
    audit.check(world.database)


def test_overrun_is_paid_back_from_the_next_top_up(world: World) -> None:
    test_the_budget_ends_a_lab_exactly_at_the_cap(world)
    world.usage.book("kt", "top-up", MINUTE, "admin", "more", "k2")
    assert world.usage.budget("kt").left == MINUTE - 300 * WHOLE
    assert world.reserve("ann").grant_ms == 59_700


def test_a_learners_own_cap(world: World) -> None:
    world.cohort(learner_cap=2 * MINUTE)
    world.people("ann", "bob")
    world.slots(slot(1), slot(2))
    lease = world.running("ann")
    assert lease.grant_ms == 120_000
    ready_order = world.run_for(lease, 110)
    assert ready_order.grant_ms == 120_000
    world.usage.release(lease.id, 120_000, "stopped", False)
    assert refused(world, "ann").code == "learner_cap_used"
    assert world.reserve("bob").grant_ms == 120_000
    audit.check(world.database)


def test_a_refused_learner_leaves_the_pool_untouched(world: World) -> None:
    world.cohort(learner_cap=1)
    world.people("ann")
    world.slots(slot(1))
    refused(world, "ann")
    assert world.usage.budget("kt").reserved == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"courses": []}, "course_not_offered"),
        ({"starts": (START + timedelta(days=1)).isoformat()}, "cohort_not_started"),
        ({"ends": (START - timedelta(hours=1)).isoformat()}, "cohort_ended"),
        ({"gpu": 0}, "budget_used"),
    ],
)
def test_why_a_start_is_refused(world: World, change: dict, code: str) -> None:
    world.cohort(**change)
    world.people("ann")
    world.slots(slot(1))
    assert refused(world, "ann").code == code
    audit.check(world.database)


def test_strangers_and_removed_members_are_refused(ready: World) -> None:
    assert refused(ready, "eve").code == "not_enrolled"
    assert refused(ready, "ann", cohort="nope").code == "cohort_unknown"
    from usage import cohorts

    with ready.database.write() as session:
        cohorts.remove(session, "kt", "ann", ready.usage.clock)
    assert refused(ready, "ann").code == "not_enrolled"


def test_no_slot_left_says_how_long(ready: World) -> None:
    ready.people("cho")
    ready.running("ann")
    ready.running("bob")
    no = refused(ready, "cho")
    assert no.code == "gpu_full"
    assert no.details["wait_seconds"] == 4 * 3600
    assert ready.usage.budget("kt").reserved == 600_000 * WHOLE


def test_concurrent_gpu_labs_of_a_cohort_are_limited(world: World) -> None:
    world.cohort(max_gpu_labs=1)
    world.people("ann", "bob")
    world.slots(slot(1), slot(2))
    world.running("ann")
    assert refused(world, "bob").code == "cohort_busy"


def test_a_failed_start_is_free(ready: World) -> None:
    lease = ready.reserve("ann")
    ready.beat((lease, 40_000))
    ready.usage.release(lease.id, 45_000, "image missing", True)
    assert ready.usage.budget("kt").settled == 0
    assert ready.usage.budget("kt").reserved == 0
    audit.check(ready.database)


def test_a_platform_fault_after_the_free_minutes_is_charged(ready: World) -> None:
    lease = ready.running("ann")
    ready.usage.release(lease.id, 180_001, "host died", True)
    assert ready.usage.budget("kt").settled == 180_001 * WHOLE


def test_what_was_posted_before_a_free_failure_is_refunded(ready: World) -> None:
    lease = ready.running("ann")
    ready.run_for(lease, 160)
    assert ready.usage.budget("kt").settled > 0
    ready.usage.release(lease.id, 161_000, "engine broke", True)
    assert ready.usage.budget("kt").settled == 0
    assert ready.state(lease).charged == 0
    audit.check(ready.database)


def test_a_start_that_never_came_up_is_freed(ready: World) -> None:
    lease = ready.reserve("ann")
    ready.time.pass_ms(150_001)
    assert ready.usage.tick() == []
    assert ready.state(lease).reason == "start_timeout"
    order = ready.beat((lease, 150_000))[0]
    assert order.stop
    assert ready.usage.budget("kt").settled == 0
    with pytest.raises(No) as caught:
        ready.usage.activate(lease.id, "late")
    assert caught.value.code == "lease_ended"


def test_a_second_start_frees_the_first_that_failed(ready: World) -> None:
    first = ready.reserve("ann")
    second = ready.reserve("ann")
    assert ready.state(first).state == "ended"
    assert second.state == "reserved"
    assert ready.usage.budget("kt").reserved == 300_000 * WHOLE


def test_a_lease_whose_container_is_gone_ends_at_last_seen(ready: World) -> None:
    lease = ready.running("ann")
    ready.run_for(lease, 50)
    ready.beat()
    assert ready.state(lease).state == "active"  # one miss may be a race with the start
    ready.beat()
    assert ready.state(lease).state == "ended"
    assert ready.state(lease).charged == 50_000 * WHOLE
    assert {ready.reserve(who).slots[0].id for who in ("ann", "bob")} == {"slot-1", "slot-2"}
    audit.check(ready.database)


def test_another_hosts_report_closes_nothing(ready: World) -> None:
    lease = ready.running("ann")
    for _ in range(3):
        ready.beat(host="h2")
    assert ready.state(lease).state == "active"


def test_an_ended_container_ends_its_lease(ready: World) -> None:
    lease = ready.running("ann")
    order = ready.beat((lease, 33_000, False))[0]
    assert order.stop
    assert ready.state(lease).charged == 33_000 * WHOLE


def test_a_container_without_lease_is_stopped(ready: World) -> None:
    lease = ready.running("ann")
    ghost = type(lease)(**{**vars(lease), "id": "lease-ghost"})
    assert ready.beat((ghost, 5_000)) == [
        LeaseOrder("lease-ghost", 0, stop=True, reason="unknown lease")
    ]


def test_the_longest_lab_time_ends_a_lab(world: World) -> None:
    world.cohort(lab_max_minutes=10)
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")
    assert lease.limit_ms == 600_000
    order = world.run_for(lease, 590)
    assert order.grant_ms == 600_000
    world.time.pass_ms(9_000)
    assert [due.reason for due in world.usage.tick()] == ["lab_max"]


def test_a_cohort_that_is_ended_mid_session_stops_its_labs(ready: World) -> None:
    lease = ready.running("ann")
    ready.run_for(lease, 100)
    ready.cohort(gpu=0, ends=(ready.time.wall + timedelta(seconds=250)).isoformat())
    order = ready.run_for(lease, 240, start=100)
    assert order.grant_ms <= 350_000
    ready.time.pass_ms(10_000)
    assert [due.reason for due in ready.usage.tick()] == ["cohort_end"]


def test_without_heartbeats_no_grant_is_extended(ready: World) -> None:
    lease = ready.running("ann")
    ready.run_for(lease, 100)
    ready.time.pass_ms(199_500)
    (due,) = ready.usage.tick()
    assert due.reason == "lost_host"
    ready.usage.release(lease.id, None, "stopped", False)
    assert ready.usage.budget("kt").settled == 0  # ours, within the free minutes
    audit.check(ready.database)


def test_a_slot_removed_while_leased_is_kept_until_the_end(ready: World) -> None:
    lease = ready.running("ann")
    gone = lease.slots[0].id
    ready.slots(*[s for s in (slot(1), slot(2)) if s.id != gone])
    ready.run_for(lease, 60)
    ready.usage.release(lease.id, 60_000, "stopped", False)
    assert ready.state(lease).charged == 60_000 * WHOLE
    assert ready.reserve("ann").slots[0].id != gone
    ready.people("cho")
    assert refused(ready, "bob").code == "gpu_full"


def test_the_ledger_is_append_only(ready: World) -> None:
    for sql in ("UPDATE entries SET amount = 1", "DELETE FROM entries"):
        with pytest.raises(DBAPIError, match="append-only"), ready.database.write() as session:
            session.execute(text(sql))


def test_bookings_are_checked_and_idempotent(ready: World) -> None:
    book = ready.usage.book
    for _ in range(2):
        assert book("kt", "top-up", HOUR, "admin", "more", "same").cap == 11 * HOUR
    assert book("kt", "correction", -11 * HOUR, "admin", "mistake", "c1").left == 0
    for kind, amount, reason, code in [
        ("grant", -1, "r", "amount_not_positive"),
        ("grant", 0, "r", "amount_not_positive"),
        ("grant", 10**16, "r", "amount_absurd"),
        ("grant", 1, "  ", "reason_missing"),
        ("gift", 1, "r", "entry_kind"),
        ("correction", -1, "r", "correction_too_large"),
    ]:
        with pytest.raises(No) as caught:
            book("kt", kind, amount, "admin", reason, f"bad-{code}-{amount}")
        assert caught.value.code == code
    audit.check(ready.database)
