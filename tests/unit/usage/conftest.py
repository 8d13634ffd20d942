"""A usage service on its own database, with a clock that tests move."""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text

from core.units import UNITS_PER_GPU_HOUR, WHOLE
from core.wire import GpuNeed, Lease, LeaseOrder, Observation, ReserveRequest, SeenContainer, Slot
from store.database import Database
from tests.unit.usage import postgres
from usage.client import CohortSpec
from usage.database import open_database
from usage.leases import Clock, Rules
from usage.service import Usage

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
HOUR = UNITS_PER_GPU_HOUR
MINUTE = HOUR // 60


class FakeTime:
    """Wall clock and boot clock; `pass_ms` moves both, `jump` only the wall clock."""

    def __init__(self) -> None:
        self.wall = START
        self.boot = 1_000_000
        self.boot_id = "boot-1"

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.boot, lambda: self.boot_id)

    def pass_ms(self, ms: int) -> None:
        self.wall += timedelta(milliseconds=ms)
        self.boot += ms

    def jump(self, hours: float) -> None:
        self.wall += timedelta(hours=hours)


def slot(number: int, weight: int = WHOLE, kind: str = "whole", host: str = "h1", **more) -> Slot:
    gpu = more.pop("gpu", f"GPU-{number}")
    return Slot(
        id=f"slot-{number}",
        device=f"dev-{number}",
        gpu=gpu,
        host=host,
        kind=kind,
        model="NVIDIA H100 80GB",
        memory_mb=more.pop("memory_mb", 80_000),
        weight=weight,
        **more,
    )


class World:
    """The service with a cohort, members and slots, in few words."""

    def __init__(self, database: Database, rules: Rules) -> None:
        self.time = FakeTime()
        self.rules = rules
        self.usage = Usage(database, rules, {"intro"}, self.time.clock())
        self.database = database
        self.count = 0

    def cohort(self, name: str = "kt", gpu: int = 10 * HOUR, **more) -> str:
        spec = CohortSpec(
            **{
                "id": name,
                "name": f"Cohort {name}",
                "organisation": "KT",
                "starts": (START - timedelta(days=1)).isoformat(),
                "ends": (START + timedelta(days=30)).isoformat(),
                "courses": ["intro"],
                **more,
            }
        )
        self.usage.put_cohort(spec)
        if gpu:
            self.usage.book(name, "grant", gpu, "admin", "contract", f"first:{name}")
        return name

    def people(self, *names: str, cohort: str = "kt", role: str = "trainee") -> None:
        for name in names:
            self.usage.enrol(cohort, name, role)

    def slots(self, *slots: Slot, host: str = "h1") -> None:
        self.usage.put_inventory(host, list(slots))

    def ask(self, who: str, spawn: str = "", cohort: str = "kt", **need) -> ReserveRequest:
        self.count += 1
        return ReserveRequest(
            spawn or f"spawn-{self.count}", who, cohort, "intro", "first", GpuNeed(**need)
        )

    def reserve(self, who: str, **more) -> Lease:
        return self.usage.reserve(self.ask(who, **more))

    def running(self, who: str, **more) -> Lease:
        lease = self.reserve(who, **more)
        return self.usage.activate(lease.id, f"container-{lease.id}")

    def beat(
        self,
        *seen: tuple[Lease, int] | tuple[Lease, int, bool],
        host: str = "h1",
    ) -> list[LeaseOrder]:
        containers = [
            SeenContainer(
                f"container-{item[0].id}", item[0].id, item[1], item[2] if len(item) > 2 else True
            )
            for item in seen
        ]
        return self.usage.observe(host, Observation("boot-1", containers))

    def run_for(self, lease: Lease, seconds: int, start: int = 0, step: int = 10) -> LeaseOrder:
        """Heartbeats every `step` s from held time `start` on; stops where the grant ends."""
        order = LeaseOrder(lease.id, lease.grant_ms)
        for held in range(start + step, start + seconds + 1, step):
            self.time.pass_ms(step * 1000)
            order = self.beat((lease, held * 1000))[0]
        return order

    def state(self, lease: Lease):
        return next(c for c in self.usage.charges(lease.cohort) if c.lease_id == lease.id)


RULES = Rules(
    window_ms=300_000,
    lab_max_ms=4 * 3_600_000,
    free_failure_ms=180_000,
    start_timeout_ms=150_000,
    warn_ms=[120_000, 600_000, 1_800_000],
)


@cache
def _template() -> Path:
    """A migrated database to copy: the migration runs once per test process."""
    folder = Path(tempfile.mkdtemp(prefix="dli-usage-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = open_database(f"sqlite:///{folder}/usage.sqlite")
    made.migrate()
    made.close()
    return folder / "usage.sqlite"


def fresh_database(file: Path) -> Database:
    """A new database at `file`. It does not wait for the disk: no test here cuts the power."""
    shutil.copyfile(_template(), file)
    made = open_database(f"sqlite:///{file}")
    event.listen(made.engine, "connect", lambda c, _r: c.execute("PRAGMA synchronous=OFF"))
    return made


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server with the migrated database `template_usage`, to be copied."""
    with postgres.server() as url:
        _sql(url, "CREATE DATABASE template_usage")
        made = open_database(url.replace("/postgres?", "/template_usage?"))
        made.migrate()
        made.close()
        yield url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever has a database runs on SQLite and on PostgreSQL."""
    if "database" in metafunc.fixturenames:
        metafunc.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database, once on each engine."""
    if request.param == "sqlite":
        made = fresh_database(tmp_path / "usage.sqlite")
        yield made
        made.close()
        return
    with on_postgresql(request.getfixturevalue("postgresql")) as made:
        yield made


@contextmanager
def on_postgresql(server: str) -> Iterator[Database]:
    """An empty database of the server that the fixture `postgresql` gives."""
    name = f"usage_{secrets.token_hex(6)}"
    _sql(server, f"CREATE DATABASE {name} TEMPLATE template_usage")
    made = open_database(server.replace("/postgres?", f"/{name}?"))
    try:
        yield made
    finally:
        made.close()
        _sql(server, f"DROP DATABASE {name} WITH (FORCE)")


def _sql(url: str, statement: str) -> None:
    url = url.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def world(database: Database) -> World:
    return World(database, RULES)


@pytest.fixture
def ready(world: World) -> World:
    """Two learners of one cohort, and a GPU for each."""
    world.cohort()
    world.people("ann", "bob")
    world.slots(slot(1), slot(2))
    return world
