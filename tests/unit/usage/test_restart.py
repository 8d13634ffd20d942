"""The service dies at any moment: nothing is lost, doubled or stopped early; the meter stops labs
through the Hub, and says so when the Hub does not answer."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core import secrets
from core.settings import Settings
from core.units import WHOLE
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, RULES, START, World, slot
from tests.unit.usage.server import HubDouble, serving
from usage.database import open_database
from usage.hub import Hub, HubDown, Server
from usage.meter import Meter
from usage.service import Usage


def prepared(world: World, gpu: int = 10 * HOUR) -> None:
    world.cohort(gpu=gpu)
    world.people("ann")
    world.slots(slot(1))


def restart(world: World) -> None:
    world.database.close()
    world.database = open_database(world.database.url)
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


def lab_of_ann(started: datetime = START, **other: str) -> Server:
    options = {"gpu": "yes", "cohort": "kt", "course": "intro", "lab": "first", **other}
    return Server("ready", options, "/user/ann/", started)


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
        hub.servers["ann"] = lab_of_ann()
        run_meter(world, hub)
        assert hub.stopped == ["ann"]
    world.beat((lease, 120_000, False))
    assert world.state(lease).reason == "budget"


@pytest.mark.parametrize(
    "server",
    [
        None,
        lab_of_ann(gpu="no"),
        lab_of_ann(lab="second"),
        lab_of_ann(cohort="other"),
        lab_of_ann(START + timedelta(seconds=60)),
        dataclasses.replace(lab_of_ann(), started=None),
        dataclasses.replace(lab_of_ann(), state="starting"),
    ],
    ids=["none", "CPU lab", "other lab", "other cohort", "started later", "unknown", "starting"],
)
@pytest.mark.parametrize("lost", [False, True], ids=["budget", "lost host"])
def test_a_stale_lease_never_stops_a_newer_lab(
    world: World, server: Server | None, lost: bool
) -> None:
    prepared(world, 10 * HOUR if lost else 2 * MINUTE)
    lease = world.running("ann")
    world.run_for(lease, 110)
    world.time.pass_ms(400_000)  # no heartbeat comes any more
    hub = HubDouble()
    if server is not None:
        hub.servers["ann"] = server
    run_meter(world, hub)
    assert world.usage.tick()[0].reason == ("lost_host" if lost else "budget")
    assert hub.stopped == []


def test_an_older_open_lease_never_stops_the_lab_of_a_newer_one(world: World) -> None:
    prepared(world)
    world.slots(slot(1), slot(2))
    world.running("ann")
    world.time.pass_ms(400_000)  # its host is gone; the same lab was started anew elsewhere
    world.reserve("ann")
    hub = HubDouble()
    hub.servers["ann"] = lab_of_ann()
    run_meter(world, hub)
    assert [(due.reason, due.newest) for due in world.usage.tick()] == [("lost_host", False)]
    assert hub.stopped == []


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
