"""One writer at a time, on SQLite and PostgreSQL alike.

Every change runs in a transaction that first takes the one write lock (BEGIN IMMEDIATE, or an
advisory lock on PostgreSQL), so that what a decision read is still true when it writes. The guarded
updates and unique indexes of the rooms hold even without it. Readers never wait: WAL and MVCC.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import Session

_BUSY_SECONDS = 30
_ALL = "SELECT pg_advisory_xact_lock(:k)"
_ONE = "SELECT pg_advisory_xact_lock_shared(:k), pg_advisory_xact_lock(:k, hashtext(:name))"


class Database:
    """A service's database, by SQLAlchemy URL.

    `migrations`: the room's folder with Alembic's env.py. `lock`: the number of the advisory lock
    that the service's writers take on PostgreSQL, so that two services may share one database.
    """

    def __init__(self, url: str, migrations: Path, lock: int) -> None:
        self.url = url
        self.engine = _engine(url)
        self._migrations = migrations
        self._lock_number = lock
        self._is_sqlite = self.engine.dialect.name == "sqlite"
        # Threads of this process queue here, in order, instead of polling SQLite's lock.
        self._turn = threading.Lock()

    def migrate(self) -> None:
        """Bring the tables to the newest version; nothing happens when they are."""
        config = Config()
        config.set_main_option("script_location", str(self._migrations))
        engine = self.engine.execution_options(dli_write=True)
        with (
            self._turn,
            engine.connect() as connection,
            self._references_free(connection),
            connection.begin(),
        ):
            self._lock(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _references_free(self, connection: Connection) -> Iterator[None]:
        """SQLite changes a table by making it anew: rows that point to it must not mind."""
        if not self._is_sqlite:
            yield
            return
        raw: Any = connection.connection.dbapi_connection  # no transaction has begun yet
        raw.execute("PRAGMA foreign_keys=OFF")
        try:
            yield
        finally:
            raw.execute("PRAGMA foreign_keys=ON")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state and changes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, alone_for: str = "") -> Iterator[Session]:
        """A transaction under the write lock: durable once it ends, rolled back on an error.

        `alone_for` names the one thing (a person) whose rows the transaction decides on. On
        PostgreSQL such transactions wait for those of the same name and for those without one, but
        not for each other; SQLite has one writer anyhow.
        """
        together = bool(alone_for) and not self._is_sqlite
        engine = self.engine.execution_options(dli_write=True)
        with (
            nullcontext() if together else self._turn,
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            self._lock(session.connection(), alone_for)
            yield session

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()

    def _lock(self, connection: Connection, alone_for: str = "") -> None:
        if not self._is_sqlite:
            locks = _ONE if alone_for else _ALL
            values = {"k": self._lock_number} | ({"name": alone_for} if alone_for else {})
            connection.execute(text(locks), values)


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        # no overflow: those connections are closed after each use, and making one costs more than a
        # transaction does
        return create_engine(url, pool_pre_ping=True, pool_size=40, max_overflow=0)
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=20,
        max_overflow=40,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    for pragma in (
        f"busy_timeout={_BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",  # a receipt or charge that was answered survives a power cut
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _on_sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("dli_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
