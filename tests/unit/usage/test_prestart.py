"""Labs started before their learners come: throttled, free until opened, returned when unopened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from core import course as courses
from core.wire import GpuNeed
from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, START, World, slot
from tests.unit.usage.server import COURSE, HubDouble
from usage.hub import HubDown, Server
from usage.meter import Meter
from usage.models import Entry, LeaseRow
from usage.prestart import rows
from usage.prestart.models import Prestart
from usage.prestart.starter import Starter
from usage.refusals import No

MINUTES = 60_000


class ClassHub(HubDouble):
    """A Hub whose labs come up when `come_up` is called, as the spawner makes them."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.leases: dict[str, object] = {}
        self.down = False

    async def server(self, username: str) -> Server | None:
        if self.down:
            raise HubDown("away")
        return await super().server(username)

    async def start(self, username: str, options: dict[str, str]) -> bool:
        await super().start(username, options)
        self.servers[username] = Server("starting", options, f"/user/{username}/", START)
        if options["gpu"] == "yes":
            try:
                self.leases[username] = self.world.reserve(username, cohort=options["cohort"])
            except No:
                del self.servers[username]
        return True

    def come_up(self) -> None:
        for name, server in self.servers.items():
            self.servers[name] = Server("ready", server.options, server.url, server.started)
            if name in self.leases:
                lease = self.leases[name]
                self.world.usage.activate(lease.id, f"container-{lease.id}")

    async def stop(self, username: str) -> None:
        await super().stop(username)
        del self.servers[username]
        if username in self.leases:
            self.world.usage.release(self.leases.pop(username).id, None, "stopped", False)


class Class:
    """A cohort with ten learners and a Hub; `tick` is a second of the starter and the meter."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.usage = world, world.usage
        world.cohort()
        self.names = [f"p{number}" for number in range(10)]
        world.people(*self.names)
        world.slots(*(slot(number) for number in range(10)))
        self.hub = ClassHub(world)
        for lab in ("first", "plain"):
            (folder / "intro" / "labs" / lab).mkdir(parents=True)
            (folder / "intro" / "labs" / lab / "a.ipynb").write_text("{}")
        (folder / "intro" / "course.toml").write_text(COURSE, encoding="utf-8")
        known = courses.load_all(folder, ["lab-cpu"])
        self.starter = Starter(world.usage, self.hub, known, "ko")
        self.meter = Meter(world.usage, self.hub)

    def tick(self, times: int = 1) -> None:
        async def both() -> None:
            for _ in range(times):
                await self.starter.tick()
                await self.meter.tick()
                await asyncio.gather(*self.meter._stopping)

        asyncio.run(both())

    def states(self) -> dict[str, int]:
        return self.usage.prestarts("kt")[0].states

    def beat(self, seconds: int) -> None:
        """All labs report a held time of so many seconds."""
        self.world.beat(*((lease, seconds * 1000) for lease in self.hub.leases.values()))


@pytest.fixture
def group(world: World, tmp_path: Path) -> Iterator[Class]:
    yield Class(world, tmp_path)
    audit.check(world.database)


def test_a_whole_cohort_is_started_a_few_at_a_time(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher")
    seen = []
    for _ in range(6):
        group.tick()
        seen.append(len([s for s in group.hub.servers.values() if s.state == "starting"]))
        group.hub.come_up()
    assert max(seen) == group.world.rules.prestart_at_once == 4
    assert sorted(name for name, _ in group.hub.started) == sorted(group.names), "each once"
    assert group.states() == {"ready": 10}
    assert group.hub.started[0][1] == {
        "course": "intro",
        "lab": "first",
        "cohort": "kt",
        "gpu": "yes",
        "language": "ko",
    }


def test_the_time_before_it_was_opened_is_free(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.tick()
    group.hub.come_up()
    lease = group.hub.leases["p0"]
    group.tick()
    group.world.run_for(lease, 600)
    group.usage.note_opened("p0")
    group.world.run_for(lease, 10, start=600)
    group.world.run_for(lease, 300, start=610)
    group.usage.release(lease.id, 910_000, "stopped", False)
    assert group.world.state(lease).charged == 300_000 * lease.weight
    with group.world.database.read() as session:
        refunds = session.scalars(select(Entry).where(Entry.kind == "refund")).all()
    assert [entry.reason for entry in refunds] == ["prestart: the time before it was opened"]
    assert group.states()["opened"] == 1


def test_its_longest_time_counts_from_when_it_may_be_opened(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher", minutes=20)
    group.tick()
    assert group.hub.leases["p0"].limit_ms == group.world.rules.lab_max_ms + 20 * MINUTES


def test_what_nobody_opened_is_returned_after_the_grace_and_free(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher", minutes=5)
    for _ in range(4):
        group.tick()
        group.hub.come_up()
    group.usage.note_opened("p3")
    for held in range(10, 310, 10):
        group.world.time.pass_ms(10_000)
        group.beat(held)
    group.tick(2)
    assert sorted(group.hub.servers) == ["p3"], "only the opened one goes on"
    group.tick()
    assert group.states() == {"opened": 1, "returned": 9}
    charges = group.usage.charges("kt")
    assert {c.charged for c in charges if c.state == "ended"} == {0}
    assert {c.reason for c in charges if c.state == "ended"} == {"unused"}
    assert group.usage.budget("kt").left > 9 * HOUR


def test_the_agent_is_told_to_end_an_unused_lab_too(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher", minutes=1)
    group.tick()
    group.hub.come_up()
    group.tick()
    group.world.time.pass_ms(61_000)
    group.hub.down = True  # the Hub does not answer
    assert {due.reason for due in group.usage.tick()} == {"unused"}
    lease = group.hub.leases["p0"]
    order = group.world.beat((lease, 61_000))[0]
    assert (order.stop, order.reason) == (True, "unused")


def test_a_prestarted_lab_is_neither_idle_nor_warned_while_nobody_is_there(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.tick()
    group.hub.come_up()
    group.usage.note_activity("p0", busy=False, idle_seconds=3600)
    with group.world.database.read() as session:
        lease = session.get_one(LeaseRow, group.hub.leases["p0"].id)
        assert lease.idle_since_ms is None
        hers = select(rows.Prestart.state).where(rows.Prestart.username == "p0")
        assert session.scalars(hers).one() == "asked"


def test_with_too_few_gpus_the_rest_waits_and_nobody_is_queued(group: Class) -> None:
    group.world.slots(slot(1), slot(2))
    group.usage.prestart("kt", "intro", "first", "teacher")
    for _ in range(3):
        group.tick()
        group.hub.come_up()
    assert group.states() == {"ready": 2, "waiting": 8}
    assert [group.usage.place_of(name) for name in group.names] == [None] * 10
    group.world.time.pass_ms(16 * MINUTES)
    group.beat(1)
    group.tick(3)
    assert group.states() == {"returned": 2, "skipped": 8}, "the class has begun without them"


def test_a_window_prestarts_its_seats_before_the_class_begins(group: Class) -> None:
    begin = START + timedelta(hours=1)
    group.usage.add_window(
        "kt",
        begin.isoformat(),
        (begin + timedelta(hours=2)).isoformat(),
        3,
        GpuNeed("mig"),
        "admin",
        "intro/first",
    )
    group.world.time.pass_ms(49 * MINUTES)
    group.tick()
    assert group.hub.started == []
    group.world.time.pass_ms(2 * MINUTES)
    group.tick(2)
    assert sorted(name for name, _ in group.hub.started) == ["p0", "p1", "p2"], "in no order"
    (batch,) = group.usage.prestarts("kt")
    assert batch.return_at == begin + timedelta(minutes=15)
    group.tick(3)
    assert len(group.usage.prestarts("kt")) == 1, "once for a window"


def test_whoever_is_quicker_or_has_a_lab_is_left_alone(group: Class) -> None:
    own = group.world.running("p0")
    group.hub.servers["p1"] = Server("ready", {"lab": "plain"}, "/user/p1/", START)
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.world.running("p9")  # before the starter came to it
    group.tick()
    states = {row.username: row.state for row in _rows(group)}
    assert "p0" not in states
    assert (states["p1"], states["p9"]) == ("skipped", "skipped")
    assert group.world.state(own).state == "active"


def test_a_failed_start_is_noted_and_free(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.tick()
    lease = group.hub.leases["p0"]
    group.usage.release(lease.id, None, "start_abandoned", True)
    del group.hub.servers["p0"]
    group.tick()
    row = next(row for row in _rows(group) if row.username == "p0")
    assert (row.state, row.open, row.detail) == ("failed", False, "start_abandoned")


def test_a_budget_that_is_used_up_fails_the_prestart(group: Class) -> None:
    left = group.usage.budget("kt").left
    group.usage.book("kt", "correction", -left, "root", "all of it", "take")
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.tick(4)
    assert group.states() == {"failed": 10}


def test_a_lab_without_gpu_is_prestarted_and_returned_too(group: Class) -> None:
    group.usage.prestart("kt", "intro", "plain", "teacher", minutes=5)
    for _ in range(4):
        group.tick()
        group.hub.come_up()
    group.usage.note_opened("p2")
    group.world.time.pass_ms(5 * MINUTES)
    group.tick(2)
    assert list(group.hub.servers) == ["p2"]
    assert group.usage.charges("kt") == []
    assert group.states() == {"opened": 1, "returned": 9}


def test_a_hub_that_is_away_loses_nothing(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.hub.down = True
    with pytest.raises(HubDown):
        group.tick()
    group.hub.down = False
    for _ in range(5):
        group.tick()
        group.hub.come_up()
    assert group.states() == {"ready": 10}


def test_a_cancelled_prestart_returns_what_nobody_opened(group: Class) -> None:
    group.usage.prestart("kt", "intro", "first", "teacher")
    group.tick()
    group.hub.come_up()
    group.tick()
    assert group.usage.cancel_prestart("kt", "teacher") == 10
    group.tick(3)
    assert group.hub.servers.keys() <= set(group.names)
    group.hub.come_up()
    group.tick(3)
    assert group.hub.servers == {}
    assert not any(row.open for row in _rows(group))


@pytest.mark.parametrize(
    ("course", "minutes", "code"),
    [
        ("other", None, "course_not_offered"),
        ("intro", 0, "number_out_of_range"),
        ("intro", 9999, "number_out_of_range"),
    ],
)
def test_what_cannot_be_prestarted(
    group: Class, course: str, minutes: int | None, code: str
) -> None:
    with pytest.raises(No, match=code):
        group.usage.prestart("kt", course, "first", "teacher", minutes)


def _rows(group: Class) -> list[Prestart]:
    with group.world.database.read() as session:
        return list(session.scalars(select(Prestart).order_by(Prestart.id)).all())
