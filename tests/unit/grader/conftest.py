"""The running service for the tests of this folder, one per module, on each kind of database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, text

from grader.database import open_database
from store.database import Database
from tests.grading import Service, running
from tests.unit.usage import postgres

NewUrl = Callable[[], str]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[NewUrl]:
    """Gives the URL of a fresh, empty database of one PostgreSQL server."""
    numbers = itertools.count(1)
    with postgres.server() as url:

        def fresh() -> str:
            name = f"grader_{next(numbers)}"
            engine = create_engine(
                url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
            )
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            engine.dispose()
            return url.replace("/postgres?", f"/{name}?")

        yield fresh


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def new_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewUrl:
    """Gives URLs of fresh databases: every test that asks for one runs on both kinds."""
    if request.param == "PostgreSQL":
        made: NewUrl = request.getfixturevalue("postgresql")
        return made
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('database')}/grader.sqlite"


@pytest.fixture(scope="module")
def service(new_url: NewUrl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("grader"), database=new_url()) as service:
        yield service


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service for browser tests (``service = on_sqlite``): pages look the same on both
    databases."""
    with running(tmp_path_factory.mktemp("grader")) as made:
        yield made


@pytest.fixture
def database(new_url: NewUrl) -> Iterator[Database]:
    """A migrated database with nothing in it."""
    made = open_database(new_url())
    made.migrate()
    yield made
    made.close()
