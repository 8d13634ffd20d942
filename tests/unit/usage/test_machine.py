"""Random lives of cohorts, each step followed by the audit. Which states were reached is counted:
a machine that never meets a deadline proves nothing about deadlines."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text

from core.wire import Lease
from tests.unit.usage import audit
from tests.unit.usage.conftest import MINUTE, RULES, World, fresh_database, on_postgresql, slot
from usage.leases import Rules
from usage.refusals import No
from usage.service import Usage

REACHED: Counter[str] = Counter()

MUST_REACH = {
    "reserved",
    "active",
    "renewed",
    "stopped by budget",
    "stopped by learner_cap",
    "stopped by lab_max",
    "stopped by lost_host",
    "overrun",
    "released",
    "fault free",
    "fault refunded",
    "refused budget_used",
    "refused learner_cap_used",
    "refused gpu_full",
    "start timed out",
    "missing closed",
    "ghost stopped",
    "repeated reserve",
    "repeated release",
    "repeated report",
    "late report",
    "restart",
    "top-up",
    "correction refused",
    "warned",
}

PEOPLE = ["ann", "bob", "cho"]
SCENES = [
    "nothing", "faults", "silence", "vanishing", "long", "hanging", "poor", "taken back", "grace",
]  # fmt: skip
"""What happens before chance takes over, so that rare states are the start of many lives."""

_RULES = Rules(
    window_ms=60_000,
    lab_max_ms=240_000,
    free_failure_ms=180_000,
    start_timeout_ms=150_000,
    warn_ms=RULES.warn_ms,
)


class Life(RuleBasedStateMachine):
    """Three learners, two slots, a small pool."""

    server = ""
    """Of PostgreSQL; empty for SQLite."""

    @initialize(
        scene=st.sampled_from(SCENES),
        pool=st.sampled_from([2, 4, 9, 60]),
        own=st.sampled_from([None, None, 1, 3]),
    )
    def begin(self, scene: str, pool: int, own: int | None) -> None:
        self._set_up(pool, own)
        self._play(scene)

    def _play(self, scene: str) -> None:
        if scene == "faults":
            self.everybody_runs_and_stops(6, fault=True)
        elif scene == "silence":
            self.everybody_starts()
            self.run(10, 1)
            self.silence(70)
        elif scene == "vanishing":
            self.everybody_starts()
            self.run(10, 4)
            self.container_vanishes(0)
        elif scene == "hanging":
            self.a_start_hangs("ann")
        elif scene == "taken back":
            self.everybody_starts()
            self.correct(300)
        elif scene == "grace":
            self.everybody_starts()
            self._pass(600_000)
            for lease in self._open():
                self._release(lease, fault=False, told=True)
        elif scene == "poor":
            self.world.cohort(gpu=0, learner_cap=MINUTE)
            self.everybody_runs_and_stops(3, fault=False)
            self.everybody_starts()
        elif scene == "long":
            self.world.cohort(gpu=0, learner_cap=None)
            self.world.usage.book("kt", "top-up", 60 * MINUTE, "a", "long", "long")
            self.everybody_runs_and_stops(14, fault=False)

    def _set_up(self, pool: int, own: int | None) -> None:
        self.stack = ExitStack()
        if self.server:
            self.database = self.stack.enter_context(on_postgresql(self.server))
        else:
            folder = self.stack.enter_context(TemporaryDirectory(prefix="dli-machine-"))
            self.database = fresh_database(Path(folder) / "usage.sqlite")
            self.stack.callback(self.database.close)
        self.world = World(self.database, _RULES)
        self.world.cohort(gpu=pool * MINUTE, learner_cap=own * MINUTE if own else None)
        self.world.people(*PEOPLE)
        self.world.slots(slot(1), slot(2))
        self.held: dict[str, int] = {}
        self.leases: list[Lease] = []
        self.keys = 0
        self.caps_changed = False

    def teardown(self) -> None:
        if hasattr(self, "database"):
            REACHED["warned"] += self._count("SELECT count(*) FROM warnings") > 0
            self.stack.close()

    # -- what the spawner does

    @rule(who=st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True), up=st.integers(0, 4))
    def start(self, who: list[str], up: int) -> None:
        for name in who:
            self._start(name, comes_up=up > 0)

    @rule()
    def everybody_starts(self) -> None:
        for name in PEOPLE:
            self._start(name, comes_up=True)

    def _start(self, who: str, comes_up: bool) -> None:
        if any(v.username == who and v.state == "active" for v in self._open()):
            return
        ask = self.world.ask(who)
        try:
            lease = self.world.usage.reserve(ask)
        except No as no:
            REACHED[f"refused {no.code}"] += 1
            return
        assert self.world.usage.reserve(ask) == lease
        REACHED.update(["repeated reserve", "reserved"])
        self.leases.append(lease)
        self.held[lease.id] = 0
        if comes_up:
            self.world.usage.activate(lease.id, f"container-{lease.id}")
            REACHED["active"] += 1

    @rule(pick=st.integers(0, 9), fault=st.booleans(), told=st.booleans())
    def release(self, pick: int, fault: bool, told: bool) -> None:
        if not self.leases:
            return
        self._release(self.leases[-1 - pick % len(self.leases)], fault, told)

    @rule(beats=st.sampled_from([3, 8, 14]), fault=st.booleans())
    def everybody_runs_and_stops(self, beats: int, fault: bool) -> None:
        self.everybody_starts()
        self.run(20, beats)
        for lease in self._open():
            self._release(lease, fault, told=True)

    def _release(self, lease: Lease, fault: bool, told: bool) -> None:
        held = self.held[lease.id] if told else None
        was_open = self.world.state(lease).state != "ended"
        before = self.world.usage.budget("kt").settled
        self.world.usage.release(lease.id, held, "stopped", fault)
        if not was_open:
            assert self.world.usage.budget("kt").settled == before
            REACHED["repeated release"] += 1
            return
        REACHED["released"] += 1
        charge = self.world.state(lease)
        REACHED["overrun"] += charge.overrun > 0
        if fault and charge.charged == 0 and charge.held_ms:
            REACHED["fault free"] += 1
            REACHED["fault refunded"] += self._has_refund(lease)

    # -- what the agent does

    @rule(seconds=st.sampled_from([5, 10, 10, 20]), beats=st.sampled_from([1, 4, 12]))
    def run(self, seconds: int, beats: int) -> None:
        for _ in range(beats):
            self._pass(seconds * 1000)
            self._beat()
            self._tick()

    @rule(seconds=st.sampled_from([0, 0, 0, 30, 70]))
    def silence(self, seconds: int) -> None:
        """The agent is down: labs run until the grant they were last told."""
        self._pass(seconds * 1000)
        self._tick()

    @rule()
    def repeat_report(self) -> None:
        before = self.world.usage.budget("kt").settled
        self._beat()
        self._beat()
        late = [(lease, max(0, self.held[lease.id] - 7_000)) for lease in self._running()]
        self.world.beat(*late)
        self._beat()
        REACHED["repeated report"] += bool(late)
        REACHED["late report"] += bool(late)
        used = sum(v.held_ms * 840 for v in self.world.usage.charges("kt"))
        assert before <= self.world.usage.budget("kt").settled <= used

    @rule(pick=st.integers(0, 9))
    def container_vanishes(self, pick: int) -> None:
        running = self._running()
        if running:
            lease = running[pick % len(running)]
            rest = [(v, self.held[v.id]) for v in running if v.id != lease.id]
            self.world.beat(*rest)
            self.world.beat(*rest)
            assert self.world.state(lease).state == "ended"
            REACHED["missing closed"] += 1

    @rule()
    def ghost(self) -> None:
        ended = [v for v in self.leases if self.world.state(v).state == "ended"]
        if ended:
            running = [(v, self.held[v.id]) for v in self._running()]
            orders = self.world.beat((ended[0], 10**7), *running)
            assert orders[0].stop
            REACHED["ghost stopped"] += 1

    # -- the world around

    @rule(hours=st.sampled_from([-2, -1, 1]))
    def clock_jumps(self, hours: int) -> None:
        self.world.time.jump(hours)

    @rule(minutes=st.integers(1, 4))
    def top_up(self, minutes: int) -> None:
        if self.keys >= 3:
            return
        self.keys += 1
        for _ in range(2):
            self.world.usage.book("kt", "top-up", minutes * MINUTE, "a", "r", f"t{self.keys}")
        REACHED["top-up"] += 1

    @rule(minutes=st.sampled_from([1, 300]))
    def correct(self, minutes: int) -> None:
        self.keys += 1
        try:
            self.world.usage.book("kt", "correction", -minutes * MINUTE, "a", "r", f"c{self.keys}")
        except No:
            REACHED["correction refused"] += 1

    @rule(own=st.sampled_from([None, 2]))
    def change_caps(self, own: int | None) -> None:
        self.caps_changed = True
        self.world.cohort(gpu=0, learner_cap=own * MINUTE if own else None)

    @rule()
    def restart(self) -> None:
        self.world.usage = Usage(self.database, _RULES, {"intro"}, self.world.time.clock())
        REACHED["restart"] += 1

    @rule(who=st.sampled_from(PEOPLE))
    def a_start_hangs(self, who: str) -> None:
        self._start(who, comes_up=False)
        self._pass(151_000)
        self._tick()

    @invariant()
    def books_are_right(self) -> None:
        if hasattr(self, "database"):
            audit.check(self.database, learner_caps=not self.caps_changed)

    # -- helpers

    def _rows(self) -> dict[str, tuple[str, int]]:
        """Lease id -> state and grant, straight from the table."""
        with self.database.engine.connect() as connection:
            found = connection.execute(text("SELECT id, state, grant_ms FROM leases")).all()
        return {row[0]: (row[1], row[2]) for row in found}

    def _open(self, *states: str) -> list[Lease]:
        rows = self._rows()
        wanted = states or ("reserved", "active")
        return [v for v in self.leases if rows[v.id][0] in wanted]

    def _running(self) -> list[Lease]:
        return self._open("active")

    def _pass(self, ms: int) -> None:
        """Time passes for running labs; the agent's own deadline holds them (plus its grace)."""
        self.world.time.pass_ms(ms)
        rows = self._rows()
        for lease in self._running():
            held = self.held[lease.id]
            self.held[lease.id] = max(held, min(held + ms, rows[lease.id][1] + 5_000))

    def _beat(self) -> None:
        before = self._rows()
        self.world.beat(*[(v, self.held[v.id]) for v in self._running()])
        after = self._rows()
        REACHED["renewed"] += any(after[key][1] > before[key][1] for key in before)

    def _tick(self) -> None:
        reserved = self._open("reserved")
        for due in self.world.usage.tick():
            REACHED[f"stopped by {due.reason}"] += 1
            self.world.usage.release(due.lease_id, self.held[due.lease_id], "stopped", False)
            lease = next(v for v in self.leases if v.id == due.lease_id)
            REACHED["overrun"] += self.world.state(lease).overrun > 0
        rows = self._rows()
        REACHED["start timed out"] += any(rows[v.id][0] == "ended" for v in reserved)

    def _count(self, sql: str) -> int:
        with self.database.engine.connect() as connection:
            return int(connection.execute(text(sql)).scalar() or 0)

    def _has_refund(self, lease: Lease) -> bool:
        return (
            self._count(
                f"SELECT count(*) FROM entries WHERE kind = 'refund' AND lease_id = '{lease.id}'"
            )
            > 0
        )


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_books_stay_right_and_every_state_is_reached(
    engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "postgresql":
        monkeypatch.setattr(Life, "server", request.getfixturevalue("postgresql"))
    REACHED.clear()
    for scene in SCENES:
        life = Life()
        life._set_up(pool=9, own=None)
        life._play(scene)
        life.everybody_starts()
        life.repeat_report()
        life.restart()
        life.top_up(1)
        life.books_are_right()
        life.teardown()
    run_machine()
    missing = {name for name in MUST_REACH if not REACHED[name]}
    assert not missing, f"never reached: {sorted(missing)}; reached: {dict(REACHED)}"


def run_machine() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=15,
            stateful_step_count=10,
            deadline=None,
            phases=[Phase.generate],  # shrinking takes minutes; the audit says what broke
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
