"""Seeded faults: each one is put into the code and has to be caught by the test named beside it.

A test that passes with its fault in place guards nothing, so these run on every run.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, SimpleNamespace

import pytest
from sqlalchemy.exc import IntegrityError

from store.database import Database
from tests.unit.usage import test_adversary, test_grants, test_leases, test_placement
from tests.unit.usage.conftest import RULES, World, fresh_database, slot
from usage import (
    accounts,
    cohorts,
    failures,
    grants,
    heartbeat,
    idle,
    leases,
    ledger,
    placement,
)
from usage.hosts import Beats
from usage.prestart import rows as prestarts
from usage.refusals import No


@dataclass(frozen=True)
class Mutant:
    """`new` instead of `old` in `function`; `caught_by` has to fail then."""

    name: str
    function: FunctionType
    old: str
    new: str
    caught_by: Callable[..., None]


def _ready(test: Callable[[World], None]) -> Callable[[World], None]:
    def run(world: World) -> None:
        world.cohort()
        world.people("ann", "bob")
        world.slots(slot(1), slot(2))
        test(world)

    return run


def _guard_holds(world: World) -> None:
    world.cohort(gpu=100)
    with world.database.write() as session:
        assert accounts.reserve(session, "kt", "ann", 60)
        assert not accounts.reserve(session, "kt", "bob", 60)


def _both_or_neither(world: World) -> None:
    world.cohort(gpu=100, learner_cap=10)
    with world.database.write() as session:
        assert not accounts.reserve(session, "kt", "ann", 60)
        assert accounts.account(session, "kt", accounts.POOL).reserved == 0


def _jump_stops_nobody(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")
    world.run_for(lease, 60)
    world.time.jump(+1)
    assert world.usage.tick() == []


def _seats_hold(world: World) -> None:
    world.cohort()
    world.usage.put_code("ONE-SEAT", "kt", 1, "", "trainee")
    world.usage.join("ONE-SEAT", "ann", "", "")
    with pytest.raises(cohorts.No):
        world.usage.check_sign_up("ONE-SEAT", "bob", "")


def _disabled_ends(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")
    world.usage.set_slot_mode("slot-1", "disabled", "root")
    assert world.run_for(lease, 250).grant_ms == lease.grant_ms


def _unopened_is_free(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    world.usage.prestart("kt", "intro", "first", "teacher")
    with world.database.write() as session:
        prestarts.asked(prestarts.of(session, "ann"), world.usage.clock)
    lease = world.running("ann")
    world.run_for(lease, 400)
    world.usage.release(lease.id, 400_000, "stopped", False)
    assert world.state(lease).charged == 0


def _unknown_is_not_idle(_world: World) -> None:
    lab = SimpleNamespace(idle_since_ms=0, gpu_quiet_since_ms=None, slots=[{}], held_ms=0)
    assert idle.of_both(lab, 0) is None


CAUGHT = (AssertionError, pytest.fail.Exception, No, IntegrityError)
"""How a test, or the database itself, says that something is wrong; a NameError would not count."""

A, L = test_adversary, test_leases
MUTANTS = [
    Mutant(
        "no guard on the cap",
        accounts._set_aside,
        "for purse in both]), fits)",
        "for purse in both]))",
        _guard_holds,
    ),
    Mutant(
        "reserved is not counted",
        accounts._set_aside,
        "Account.settled + Account.reserved +",
        "Account.settled +",
        _guard_holds,
    ),
    Mutant(
        "a learner's refusal keeps the pool's part",
        accounts.reserve,
        "_change(session, done, reserved=-amount)",
        "pass",
        _both_or_neither,
    ),
    Mutant(
        "a charge forgets what was posted",
        ledger.charge,
        "units(lease.held_ms, lease.weight) - lease.posted",
        "units(lease.held_ms, lease.weight)",
        _ready(L.test_a_session_is_charged_to_the_second),
    ),
    Mutant(
        "a charge keeps its reservation",
        ledger.charge,
        "reserved=-covered",
        "reserved=0",
        _ready(L.test_a_session_is_charged_to_the_second),
    ),
    Mutant(
        "overrun is hidden",
        ledger.charge,
        "over = due - covered",
        "over = 0",
        L.test_the_budget_ends_a_lab_exactly_at_the_cap,
    ),
    Mutant(
        "overrun is not charged",
        ledger.charge,
        "amount=-due",
        "amount=-covered",
        L.test_the_budget_ends_a_lab_exactly_at_the_cap,
    ),
    Mutant(
        "the rest of the grant is not given back",
        ledger.give_back,
        "if lease.reserved:",
        "if False:",
        _ready(L.test_a_failed_start_is_free),
    ),
    Mutant(
        "an entry's key is not looked at",
        ledger.book,
        "if _booked(session, key):",
        "if False:",
        _ready(L.test_bookings_are_checked_and_idempotent),
    ),
    Mutant(
        "a correction may take what is used",
        accounts.raise_cap,
        "if amount < 0:",
        "if False:",
        _ready(L.test_bookings_are_checked_and_idempotent),
    ),
    Mutant(
        "a late report turns time back",
        leases.see,
        "if held_ms >= row.held_ms:",
        "if True:",
        _ready(L.test_release_and_reports_are_harmless_when_repeated),
    ),
    Mutant(
        "a spawn id is not remembered",
        leases.reserve,
        "if known is not None:",
        "if False:",
        _ready(L.test_the_same_spawn_id_gives_the_same_lease),
    ),
    Mutant(
        "an ended lease keeps its slot",
        leases.end,
        "values(open=False)",
        "values(open=True)",
        _ready(L.test_a_lease_whose_container_is_gone_ends_at_last_seen),
    ),
    Mutant(
        "a failed start is charged",
        leases.end,
        "if not free:",
        "if True:",
        _ready(L.test_a_failed_start_is_free),
    ),
    Mutant(
        "every platform fault is free",
        leases.end,
        "ours and row.held_ms <= rules.free_failure_ms",
        "ours",
        _ready(L.test_a_platform_fault_after_the_free_minutes_is_charged),
    ),
    Mutant(
        "held time comes from the wall clock",
        leases.held_now,
        "max(0, time.boot_ms() - row.seen_boot_ms)",
        "int((time.now() - row.created_at).total_seconds() * 1000)",
        _jump_stops_nobody,
    ),
    Mutant(
        "the cohort's end is ignored",
        grants.limit,
        "lab.limit_ms < end",
        "True",
        _ready(L.test_a_cohort_that_is_ended_mid_session_stops_its_labs),
    ),
    Mutant(
        "a grant ignores the money",
        grants.extension,
        "ms_for(funds.least, lab.weight)",
        "10**9",
        lambda _w: test_grants.test_an_extension_is_paid_for_and_passes_no_limit(),
    ),
    Mutant(
        "one missed report closes a lease",
        heartbeat._close_missing,
        "row.missing >= MISSES",
        "row.missing >= 1",
        _ready(L.test_a_lease_whose_container_is_gone_ends_at_last_seen),
    ),
    Mutant(
        "a report made without a look closes leases",
        heartbeat.observe,
        "if complete:",
        "if True:",
        _ready(A.test_a_report_made_without_a_look_at_docker_closes_nothing),
    ),
    Mutant(
        "a machine of the same name closes leases",
        Beats.same_boot,
        "before is None or before.boot_id == boot_id",
        "True",
        _ready(A.test_two_machines_of_one_name_close_no_lab_of_each_other),
    ),
    Mutant(
        "starts may be made to fail for ever",
        failures.check,
        "if len(ends) >= MOST:",
        "if False:",
        _ready(A.test_starts_that_are_made_to_fail_give_no_gpu_for_ever),
    ),
    Mutant(
        "other hosts' leases are closed",
        heartbeat.observe,
        "(LeaseRow.host == host) & ",
        "",
        _ready(L.test_another_hosts_report_closes_nothing),
    ),
    Mutant(
        "a ghost may run on",
        heartbeat._one,
        'row is None or row.state == "ended"',
        "row is None",
        _ready(L.test_a_start_that_never_came_up_is_freed),
    ),
    Mutant(
        "taken slots are given away",
        placement._blocked,
        "slot.id in held.ids",
        "False",
        lambda _w: test_placement.test_why_there_is_no_place(),
    ),
    Mutant(
        "a disabled GPU's labs go on",
        grants.limit,
        "if lab.closing and",
        "if False and",
        _disabled_ends,
    ),
    Mutant(
        "waiting for a learner is charged",
        leases.end,
        'or row.prestarted != ""',
        "or False",
        _unopened_is_free,
    ),
    Mutant(
        "a GPU that nobody looks at is idle",
        idle.of_both,
        "return None",
        "return row.idle_since_ms",
        _unknown_is_not_idle,
    ),
    Mutant(
        "seats of a code are not counted",
        cohorts.usable_code,
        "row.used >= row.seats",
        "False",
        _seats_hold,
    ),
]


@contextmanager
def _planted(mutant: Mutant) -> Iterator[None]:
    """Give the function the faulty code; also those who imported it by name run it."""
    source = textwrap.dedent(inspect.getsource(mutant.function))
    assert source.count(mutant.old) == 1, f"{mutant.name}: the code changed; write it anew"
    tree = ast.parse(source.replace(mutant.old, mutant.new))
    space: dict[str, object] = {}
    future = "from __future__ import annotations\n"
    exec(
        compile(future + ast.unparse(tree), mutant.name, "exec"), mutant.function.__globals__, space
    )
    faulty = space[mutant.function.__name__]
    assert isinstance(faulty, FunctionType)
    sound = mutant.function.__code__
    mutant.function.__code__ = faulty.__code__
    try:
        yield
    finally:
        mutant.function.__code__ = sound


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], World]]:
    made: list[Database] = []

    def build() -> World:
        made.append(fresh_database(tmp_path / f"{len(made)}.sqlite"))
        return World(made[-1], RULES)

    yield build
    for database in made:
        database.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_fault_is_caught(mutant: Mutant, fresh: Callable[[], World]) -> None:
    mutant.caught_by(fresh())
    with _planted(mutant), pytest.raises(CAUGHT):
        mutant.caught_by(fresh())
