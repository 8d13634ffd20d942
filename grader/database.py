"""The grader's database."""

from __future__ import annotations

from pathlib import Path

from store.database import Database

_WRITE_LOCK = 0x444C4947  # "DLIG": not the usage service's, which may share the PostgreSQL database


def open_database(url: str) -> Database:
    """The service's database at `url`; not yet migrated."""
    return Database(url, Path(__file__).parent / "migrations", _WRITE_LOCK)
