"""GPUs that an admin drains or disables, that fail, or that vanish while a lab is on them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core.units import WHOLE
from tests.unit.usage import audit
from tests.unit.usage.conftest import World, slot
from usage import cohorts
from usage.models import LeaseRow, Notice
from usage.refusals import No


@pytest.fixture
def shop(world: World) -> World:
    """Two MIG slices of one GPU and a whole one; ann and bob may use them."""
    world.cohort()
    world.people("ann", "bob", "eve")
    mig = {"gpu": "GPU-A", "weight": WHOLE // 7, "kind": "mig"}
    world.slots(slot(1, **mig), slot(2, **mig), slot(3, gpu="GPU-B"))
    return world


def refusal(world: World, who: str) -> str:
    with pytest.raises(No) as caught:
        world.reserve(who)
    return caught.value.code


def test_a_drained_slot_takes_no_new_lab_and_keeps_the_one_it_has(shop: World) -> None:
    lease = shop.running("ann")
    assert shop.usage.set_slot_mode("GPU-A", "drained", "root") == ["slot-1", "slot-2"]
    assert shop.reserve("bob").slots[0].id == "slot-3"
    order = shop.run_for(lease, 600)
    assert order.grant_ms > 600_000, "it goes on for as long as it may"
    shop.usage.set_slot_mode("slot-2", "open", "root")
    assert shop.reserve("eve").slots[0].id == "slot-2"


def test_a_disabled_gpu_warns_its_labs_and_ends_them_with_their_grant(shop: World) -> None:
    lease = shop.running("ann")
    shop.run_for(lease, 200)
    before = shop.beat((lease, 200_000))[0].grant_ms
    shop.usage.set_slot_mode(lease.slots[0].id, "disabled", "root")
    order = shop.run_for(lease, (before - 200_000) // 1000 - 5, start=200, step=5)
    assert order.grant_ms == before, "neither shortened nor extended"
    with shop.database.read() as session:
        reasons = {n.reason for n in session.scalars(select(Notice)).all()}
    assert reasons == {"gpu_off"}
    shop.time.pass_ms(5_000)
    (due,) = shop.usage.tick()
    assert due.reason == "gpu_off"
    shop.usage.release(lease.id, before, "stopped", False)
    audit.check(shop.database)


def test_a_slot_in_use_again_lets_its_lab_go_on(shop: World) -> None:
    lease = shop.running("ann")
    shop.usage.set_slot_mode("GPU-A", "disabled", "root")
    shop.run_for(lease, 250)
    shop.usage.set_slot_mode("GPU-A", "open", "root")
    assert shop.run_for(lease, 20, start=250).grant_ms > lease.grant_ms
    with shop.database.read() as session:
        notices = session.scalars(select(Notice)).all()
        assert notices
        assert not any(n.live for n in notices), "the warning is withdrawn"


def test_an_unknown_gpu_or_mode_is_refused(shop: World) -> None:
    for device, mode, code in (
        ("GPU-nowhere", "drained", "gpu_unknown"),
        ("GPU-A", "melted", "slot_mode"),
    ):
        with pytest.raises(No, match=code):
            shop.usage.set_slot_mode(device, mode, "root")  # type: ignore[arg-type]


def test_a_slot_removed_while_leased_keeps_its_lab_and_takes_no_other(shop: World) -> None:
    lease = shop.running("ann")
    held = lease.slots[0].id
    shop.slots(slot(3, gpu="GPU-B"))
    assert shop.run_for(lease, 600).grant_ms > 600_000
    assert shop.reserve("bob").slots[0].id == "slot-3"
    assert refusal(shop, "eve") == "gpu_full"
    shop.usage.release(lease.id, 600_000, "stopped", False)
    assert refusal(shop, "eve") == "gpu_full", f"{held} is gone"
    audit.check(shop.database)


def test_a_gpu_that_fails_takes_no_new_lab_and_keeps_the_one_it_has(shop: World) -> None:
    lease = shop.running("ann")
    mig = {"gpu": "GPU-A", "weight": WHOLE // 7, "kind": "mig", "healthy": False}
    shop.slots(slot(1, **mig), slot(2, **mig), slot(3, gpu="GPU-B", healthy=False))
    assert shop.run_for(lease, 400).grant_ms > 400_000
    assert refusal(shop, "bob") == "gpu_full"


def test_who_is_removed_mid_session_keeps_the_grant_and_gets_no_more(shop: World) -> None:
    lease = shop.running("ann")
    with shop.database.write() as session:
        cohorts.remove(session, "kt", "ann", shop.usage.clock)
    assert shop.run_for(lease, 290).grant_ms == lease.grant_ms
    shop.time.pass_ms(10_000)
    assert [due.reason for due in shop.usage.tick()] == ["removed"]
    shop.usage.enrol("kt", "ann", "trainee")
    with shop.database.read() as session:
        assert session.get_one(LeaseRow, lease.id).closing == ""
