"""One writer at a time, on SQLite and PostgreSQL alike.

Every change runs in a transaction that first takes the one write lock (BEGIN IMMEDIATE, or an
advisory lock on PostgreSQL), so that what a decision read is still true when it writes. The guarded
updates and unique indexes hold even without it. Readers never wait: WAL and MVCC.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import Session

_BUSY_SECONDS = 15
_WRITE_LOCK = 0x444C49  # "DLI": this application's advisory lock


class Database:
    """The service's database, by SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._is_sqlite = self.engine.dialect.name == "sqlite"
        # Threads of this process queue here, in order, instead of polling SQLite's lock.
        self._turn = threading.Lock()

    def migrate(self) -> None:
        """Bring the tables to the newest version; nothing happens when they are."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state and changes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that holds the write lock; commits at the end, rolls back on an error."""
        with self._turn:
            engine = self.engine.execution_options(dli_write=True)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                if not self._is_sqlite:
                    session.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _WRITE_LOCK})
                yield session

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=30)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a charge that was answered survives a power cut
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _on_sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("dli_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
