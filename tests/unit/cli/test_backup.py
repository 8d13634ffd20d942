"""An archive of a state folder and back: whole, private, and nothing that does not belong."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import backup, restore
from cli.errors import CliError
from core import secrets
from core.settings import Settings


def quiet(_line: str) -> None:
    """No progress."""


@pytest.fixture
def full(tmp_path: Path) -> Settings:
    """A state folder with something of everything, one database being written."""
    state = tmp_path / "full"
    secrets.ensure(state)
    for folder in ("hub", "blobs/ab", "blobs/incoming", "gradebooks/c", "logs", "run", "node"):
        (state / folder).mkdir(parents=True)
    for name in ("usage.sqlite", "grader.sqlite", "hub/hub.sqlite", "gradebooks/c/gradebook.db"):
        with sqlite3.connect(state / name) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE t (x)")
            db.execute("INSERT INTO t VALUES (?)", (name,))
    (state / "blobs/ab/abcd").write_bytes(b"work")
    (state / "blobs/incoming/half").write_bytes(b"half")
    (state / "run/demo.json").write_text("{}")
    (state / "logs/hub.log").write_text("log")
    (state / "hub/shadow").symlink_to("/etc/shadow")
    return Settings(instance="full", state_dir=state)


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return Settings(instance="empty", state_dir=tmp_path / "empty")


def make(settings: Settings, file: Path, with_secrets: bool = True) -> dict[str, int]:
    return backup.make(settings, file, with_secrets=with_secrets, with_homes=False, report=quiet)


def test_everything_comes_back(full: Settings, empty: Settings, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    writer = sqlite3.connect(full.state_dir / "usage.sqlite")
    writer.execute("INSERT INTO t VALUES ('not committed')")
    done = make(full, file)
    writer.close()
    assert file.stat().st_mode & 0o777 == 0o600
    assert done["files"] == 4 + 1 + 1 + len(secrets.NAMES)
    manifest = restore.restore(empty, file, quiet)
    assert manifest["instance"] == "full"
    left = sorted(p.name for p in empty.state_dir.iterdir())
    for name in ("usage.sqlite", "grader.sqlite", "hub/hub.sqlite", "gradebooks/c/gradebook.db"):
        with sqlite3.connect(empty.state_dir / name) as db:
            assert db.execute("SELECT x FROM t").fetchall() == [(name,)]
    assert (empty.state_dir / "blobs/ab/abcd").read_bytes() == b"work"
    for name in secrets.NAMES:
        assert secrets.load(empty.state_dir, name) == secrets.load(full.state_dir, name)
        assert (empty.state_dir / "secrets" / name).stat().st_mode & 0o777 == 0o600
    assert left == ["blobs", "gradebooks", "grader.sqlite", "hub", "run", "secrets", "usage.sqlite"]
    assert not (empty.state_dir / "hub" / "shadow").exists()


def test_secrets_stay_here_when_asked(full: Settings, tmp_path: Path) -> None:
    make(full, tmp_path / "b.tar.gz", with_secrets=False)
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        content = b"".join(f.read() for m in tar if (f := tar.extractfile(m)))
    assert not [n for n in secrets.NAMES if secrets.load(full.state_dir, n).encode() in content]


def test_nothing_is_overwritten(full: Settings, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    make(full, file)
    before = file.read_bytes()
    with pytest.raises(CliError, match="exists already"):
        make(full, file)
    with pytest.raises(CliError, match="data in"):
        restore.restore(full, file, quiet)
    assert file.read_bytes() == before


def rewritten(file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes]]) -> Path:
    """The archive with its members changed."""
    target = file.with_name("changed.tar.gz")
    with tarfile.open(file) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            source = old.extractfile(member)
            name, data = change(member, source.read() if source else b"")
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    return target


def test_a_spoiled_archive_changes_nothing(full: Settings, empty: Settings, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    make(full, file)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(file.read_bytes()[:-400])
    noise = tmp_path / "noise.tar.gz"
    noise.write_bytes(b"no archive")
    changes: list[Callable[[tarfile.TarInfo, bytes], tuple[str, bytes]]] = [
        lambda m, d: (m.name, d.replace(b"work", b"mine")),
        lambda m, d: (m.name.replace("state/run", "state/../../run"), d),
        lambda m, d: (m.name.replace("state/run/demo.json", "/tmp/x"), d),
        lambda m, d: (
            (m.name, json.dumps({**json.loads(d), "format": 9}).encode())
            if m.name == "manifest.json"
            else (m.name, d)
        ),
    ]
    bad = [cut, noise]
    for number, change in enumerate(changes):
        made = rewritten(file, change)
        bad.append(made.rename(tmp_path / f"bad{number}.tar.gz"))
    for one in bad:
        with pytest.raises(CliError, match="not a whole backup"):
            restore.restore(empty, one, quiet)
        assert list(empty.state_dir.iterdir()) == []


def test_a_database_elsewhere_is_said(full: Settings, tmp_path: Path) -> None:
    elsewhere = full.model_copy(
        update={"usage": full.usage.model_copy(update={"database": "postgresql://x"})}
    )
    with pytest.raises(CliError, match="not SQLite") as error:
        make(elsewhere, tmp_path / "b.tar.gz")
    assert "pg_dump" in error.value.remedy
    assert not (tmp_path / "b.tar.gz").exists()
