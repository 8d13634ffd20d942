"""The ledger's promises on PostgreSQL: the tests of leases and concurrency once more."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, text

from store.database import Database
from tests.unit.usage import postgres, test_concurrency, test_leases
from tests.unit.usage.conftest import HOUR, MINUTE, RULES, World, slot
from usage.database import open_database

TESTS = [
    test
    for name, test in vars(test_leases).items()
    if name.startswith("test_")
    and list(inspect.signature(test).parameters) in (["ready"], ["world"])
]


@pytest.fixture(scope="module")
def template() -> Iterator[str]:
    """URL of a migrated database that each test copies."""
    with postgres.server() as url:
        _sql(url, "CREATE DATABASE template_usage")
        made = open_database(url.replace("/postgres?", "/template_usage?"))
        made.migrate()
        made.close()
        yield url


@pytest.fixture
def database(template: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    name = f"usage_{abs(hash(request.node.name))}"
    _sql(template, f"CREATE DATABASE {name} TEMPLATE template_usage")
    made = open_database(template.replace("/postgres?", f"/{name}?"))
    yield made
    made.close()
    _sql(template, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def world(database: Database) -> World:
    return World(database, RULES)


def _sql(url: str, statement: str) -> None:
    engine = create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("test", TESTS, ids=lambda t: t.__name__)
def test_leases_on_postgresql(test: Callable[[World], None], world: World) -> None:
    if "ready" in inspect.signature(test).parameters:
        world.cohort()
        world.people("ann", "bob")
        world.slots(slot(1), slot(2))
    test(world)


def test_one_of_a_hundred_wins_on_postgresql(world: World, database: Database) -> None:
    test_concurrency.test_one_of_a_hundred_wins(world, database, 1, 100 * HOUR, "gpu_full")


def test_the_last_gpu_seconds_on_postgresql(world: World, database: Database) -> None:
    code = "budget_used"
    test_concurrency.test_one_of_a_hundred_wins(world, database, 100, MINUTE // 4, code)


def test_reports_at_once_on_postgresql(world: World) -> None:
    test_concurrency.test_reports_and_releases_of_one_lab_at_once_charge_once(world)
