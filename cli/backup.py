"""`./dli backup FILE`: one archive of all that cannot be made again, taken while the platform runs.

Each database is copied by SQLite's own backup, so it is as it stood at one moment; they are copied
before the files that their rows name, which are never changed. The last member, ``manifest.json``,
has every other's SHA-256: an archive that was cut short has none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from cli import homes
from cli.errors import CliError
from cli.steps import Report
from cli.text import _
from core import clock
from core.settings import Settings

FORMAT = 1
MANIFEST = "manifest.json"
STATE, HOMES = "state", "homes"
"""Folders of the archive: the state folder's files, and home volumes as archives of their own."""

_MADE_AGAIN = {"node", "cache", "logs", "materials", "run", "secrets", "homes"}
"""In the state folder: what `./dli up` makes again, and what is decided on apart."""
_KEPT_OF_RUN = ("demo.json",)
_SQLITE = b"SQLite format 3\0"
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")


def make(
    settings: Settings, file: Path, *, with_secrets: bool, with_homes: bool, report: Report
) -> dict[str, int]:
    """Write the archive, readable by its owner alone; how many files and bytes it holds.

    Raises CliError for a file that exists, and for a database that is not SQLite.
    """
    _check(settings, file)
    part = file.with_name(file.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=3) as tar:
                counted = _fill(settings, tar, with_secrets, with_homes, report)
            raw.flush()
            os.fsync(raw.fileno())
        os.link(part, file)  # not rename: a file that came to be meanwhile is not overwritten
    except FileExistsError:
        raise CliError(_("{file} exists already", file=file)) from None
    finally:
        part.unlink(missing_ok=True)
    return counted


def _check(settings: Settings, file: Path) -> None:
    if file.exists():
        raise CliError(_("{file} exists already", file=file), _("Name a new file"))
    if not file.parent.is_dir():
        raise CliError(_("There is no folder {folder}", folder=file.parent))
    for name, url in (("usage", settings.usage_database), ("grader", settings.grader_database)):
        if not url.startswith("sqlite:"):
            raise CliError(
                _("The {name} database is not SQLite; ./dli backup cannot copy it", name=name),
                _("Copy it with its own tool (pg_dump), and state_dir with the platform stopped"),
            )
    if not (settings.state_dir / "secrets").is_dir():
        raise CliError(_("There is nothing to back up in {folder}", folder=settings.state_dir))


def _fill(
    settings: Settings,
    tar: tarfile.TarFile,
    with_secrets: bool,
    with_homes: bool,
    report: Report,
) -> dict[str, int]:
    writer = _Writer(tar)
    found = list(_files(settings.state_dir, with_secrets))
    for path in sorted(found, key=lambda p: (not _is_sqlite(p), p)):  # databases first
        name = path.relative_to(settings.state_dir).as_posix()
        report(name)
        writer.add(f"{STATE}/{name}", path)
    volumes = []
    if with_homes:
        for home in homes.all_of(settings):
            report(home.name)
            with homes.archived(settings, home) as spooled:
                writer.add_open(f"{HOMES}/{home.suffix}.tar", spooled)
            volumes.append({"suffix": home.suffix, "user": home.user})
    writer.end(
        {
            "format": FORMAT,
            "instance": settings.instance,
            "made_at": clock.now().isoformat(timespec="seconds"),
            "secrets": with_secrets,
            "homes": volumes,
        }
    )
    return {"files": len(writer.hashes), "bytes": writer.bytes}


def _files(state: Path, with_secrets: bool) -> Iterator[Path]:
    """Plain files to keep. Links are not followed: the Hub's folder is the Hub's account's."""
    skipped = _MADE_AGAIN - ({"secrets"} if with_secrets else set())
    for entry in sorted(state.iterdir()):
        if entry.name in skipped or entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            for folder, _folders, names in os.walk(entry):
                yield from (Path(folder) / name for name in names if _keep(Path(folder) / name))
        elif _keep(entry):
            yield entry
    yield from (state / "run" / name for name in _KEPT_OF_RUN if (state / "run" / name).exists())


def _keep(path: Path) -> bool:
    passing = path.name.endswith((*_BESIDE_SQLITE, ".pid"))
    return not passing and path.parent.name != "incoming" and stat.S_ISREG(path.lstat().st_mode)


def _is_sqlite(path: Path) -> bool:
    with _plain(path) as file:
        return file.read(len(_SQLITE)) == _SQLITE


@contextmanager
def _plain(path: Path) -> Iterator[IO[bytes]]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        yield file


class _Writer:
    """Puts members into the archive and remembers their hashes."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.hashes: dict[str, str] = {}
        self.bytes = 0

    def add(self, name: str, path: Path) -> None:
        """A file; a database as it stands at this moment. One that is gone meanwhile is left."""
        try:
            if not _is_sqlite(path):
                with _plain(path) as file:
                    self.add_open(name, file)
                return
        except FileNotFoundError:
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"
            with (
                closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            with copy.open("rb") as file:
                self.add_open(name, file)

    def add_open(self, name: str, file: IO[bytes]) -> None:
        """What an open file holds."""
        info = tarfile.TarInfo(name)
        info.size = os.fstat(file.fileno()).st_size
        info.mode, info.mtime = 0o600, int(clock.now().timestamp())
        hashed = _Hashed(file, info.size)
        self._tar.addfile(info, hashed)  # type: ignore[arg-type]
        self.hashes[name] = hashed.digest()
        self.bytes += info.size

    def end(self, manifest: dict[str, Any]) -> None:
        """The manifest, last."""
        raw = json.dumps(manifest | {"sha256": self.hashes}, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(raw), 0o600
        self._tar.addfile(info, io.BytesIO(raw))


class _Hashed:
    """Reads a file, hashing what passes; a log that shrank meanwhile is filled up with zeros."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self._sum = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """At most `count` bytes of the size that was promised."""
        data = self._file.read(min(count, self._left))
        data = data.ljust(min(count, self._left), b"\0")
        self._left -= len(data)
        self._sum.update(data)
        return data

    def digest(self) -> str:
        """Of all that was read."""
        return self._sum.hexdigest()
