"""The service dies at any moment: nothing is lost, doubled or stopped early; the meter stops labs
through the Hub, and says so when the Hub does not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from core import secrets
from core.settings import Settings
from core.units import WHOLE
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, RULES, World, slot
from tests.unit.usage.server import HubDouble, serving
from usage.database import Database
from usage.hub import Hub, HubDown
from usage.meter import Meter
from usage.service import Usage


def prepared(world: World, gpu: int = 10 * HOUR) -> None:
    world.cohort(gpu=gpu)
    world.people("ann")
    world.slots(slot(1))


def restart(world: World) -> None:
    world.database.close()
    world.database = Database(world.database.url)
    world.usage = Usage(world.database, RULES, {"intro"}, world.time.clock())


def test_a_restart_neither_stops_nor_loses_nor_doubles(world: World) -> None:
    prepared(world)
    lease = world.running("ann")
    world.run_for(lease, 100)
    restart(world)
    world.time.pass_ms(60_000)  # the service was away; the lab ran on
    assert world.usage.tick() == []
    order = world.beat((lease, 160_000))[0]
    assert not order.stop
    assert order.grant_ms > 160_000
    restart(world)
    world.usage.release(lease.id, 170_000, "stopped", False)
    assert world.state(lease).charged == 170_000 * WHOLE
    audit.check(world.database)


def test_a_restart_of_the_machine_frees_starts_that_cannot_come_up(world: World) -> None:
    prepared(world)
    lease = world.reserve("ann")
    world.time.boot_id, world.time.boot = "boot-2", 500
    world.usage.tick()
    assert world.state(lease).state == "ended"


class DeadHub(HubDouble):
    async def stop(self, username: str) -> None:
        self.stopped.append(username)
        raise HubDown("no answer")


def run_meter(world: World, hub: Hub) -> None:
    async def go() -> None:
        meter = Meter(world.usage, hub)
        await meter.tick()
        await meter.tick()
        await asyncio.gather(*meter._stopping)

    asyncio.run(go())


def test_the_meter_asks_the_hub_once_at_the_deadline(world: World) -> None:
    prepared(world, 2 * MINUTE)
    lease = world.running("ann")
    world.run_for(lease, 110)
    for hub in (HubDouble(), DeadHub()):
        run_meter(world, hub)
        assert hub.stopped == []
    world.time.pass_ms(9_000)
    for hub in (HubDouble(), DeadHub()):
        run_meter(world, hub)
        assert hub.stopped == ["ann"]
    world.beat((lease, 120_000, False))
    assert world.state(lease).reason == "budget"


def test_a_hub_that_is_away_is_told_apart(tmp_path: Path) -> None:
    secrets.ensure(tmp_path)
    hub = Hub(Settings(state_dir=tmp_path, ports={"hub": 9}))

    async def ask() -> None:
        try:
            await hub.version()
        except HubDown as error:
            assert "Connect" in str(error)  # noqa: PT017 - raised inside a coroutine
            return
        finally:
            await hub.close()
        raise AssertionError("a Hub answered where there is none")

    asyncio.run(ask())


def test_the_service_over_http_keeps_a_lease_over_its_restart(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/u.sqlite"
    first, second = tmp_path / "one", tmp_path / "two"
    for folder in (first, second):
        folder.mkdir()
    with serving(first, database) as service:
        world = World(service.app.state.usage.database, RULES)
        world.time.wall = service.app.state.usage.clock.now()
        from datetime import timedelta

        ends = (world.time.wall + timedelta(days=1)).isoformat()
        world.cohort(ends=ends)
        world.people("ann")
        service.client("key-agent").put_inventory("h1", [slot(1)])
        lease = service.client("key-hub").reserve(world.ask("ann", spawn="s"))
    with serving(second, database) as service:
        hub = service.client("key-hub")
        assert hub.reserve(world.ask("ann", spawn="s")) == lease
        hub.activate(lease.id, "c")
        hub.release(lease.id, 12_345, "stopped")
        (charge,) = service.client("key-cli").charges("kt")
        assert charge.charged == 12_345 * WHOLE
