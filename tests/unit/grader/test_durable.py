"""What a receipt promises is on the disk before it is given: bytes, then their name, then the row.

`kill -9` shows none of this, because the kernel keeps what it was given: the order is looked at.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from sqlalchemy import event

from core.course import Assignment, Text
from grader import accepting, intake
from grader.blobs import Blobs
from store.database import Database

ITEM = Assignment(id="a", title=Text(en="A", ko="A"))
WORK = accepting.Work("ann", "c", "x", ITEM)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, database: Database) -> list[str]:
    """What was made durable, and under which name files were put, in order."""
    found: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        found.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink()}")
        sync(handle)

    def rename(self: Path, target: Path) -> Path:
        found.append(f"name {target}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    event.listen(database.engine, "commit", lambda _connection: found.append("commit"))
    return found


def test_bytes_then_name_then_row(tmp_path: Path, database: Database, seen: list[str]) -> None:
    blobs = Blobs(tmp_path / "blobs")
    assert seen == [f"sync {blobs.folder}", f"sync {tmp_path}"], "folders, once"
    seen.clear()
    incoming = blobs.folder / "incoming" / "one"
    incoming.write_bytes(b"work")
    sha256 = hashlib.sha256(b"work").hexdigest()
    arrived = accepting.Arrived(incoming, sha256, 4, intake.Contents({}, ["n"]))
    accepting.accept(database, blobs, WORK, "key-1", arrived, 100)
    target = blobs.path(sha256)
    assert seen == [f"sync {incoming}", f"name {target}", f"sync {target.parent}", "commit"]


def test_a_commit_reaches_the_disk(database: Database) -> None:
    """As the service opens it; PostgreSQL's own setting is the server's."""
    with database.engine.connect() as connection:
        if database.engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
