"""Content-addressed files, ``blobs/ab/abcd…``. A blob is durable before its name is used.

Nothing is removed but by `sweep`, which leaves alone what a row names and what was kept within a
day: whoever keeps a blob has that long to write the row.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEEP_SECONDS = 24 * 3600
"""A blob that no row names is left alone for so long after it was last kept."""
_NAME = re.compile(r"[0-9a-f]{64}")
_CLOCK_SLACK = 2.0
"""File times lag behind the clock by a few milliseconds."""


class TooLarge(Exception):
    """More bytes than allowed; the text is the limit."""


@dataclass(frozen=True)
class Swept:
    """What a sweep did. `missing`: named by a row, but not there."""

    removed: int = 0
    bytes: int = 0
    missing: frozenset[str] = frozenset()


class Blobs:
    """Files by the SHA-256 of their content. Writing the same bytes twice is harmless."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / "ff").exists():  # the last one: all are there, and on the disk
            for number in range(256):
                (folder / f"{number:02x}").mkdir(exist_ok=True)
            _fsync(folder)
            _fsync(folder.parent)

    def path(self, sha256: str) -> Path:
        """Where a blob lies."""
        return self.folder / sha256[:2] / sha256

    def read(self, sha256: str) -> bytes:
        """A blob's bytes. Raises FileNotFoundError."""
        return self.path(sha256).read_bytes()

    def put(self, data: bytes) -> str:
        """Store `data` durably; its SHA-256."""
        handle, name = tempfile.mkstemp(dir=self._incoming)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return self.keep(Path(name), hashlib.sha256(data).hexdigest())

    async def receive(self, stream: AsyncIterator[bytes], limit: int) -> tuple[Path, str, int]:
        """Stream into a file that is not kept yet: path, SHA-256, size. Raises TooLarge.

        The caller keeps or removes the file.
        """
        path = self._incoming / secrets.token_hex(16)
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("xb") as file:
                async for part in stream:
                    size += len(part)
                    if size > limit:
                        raise TooLarge(str(limit))
                    digest.update(part)
                    file.write(part)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path, digest.hexdigest(), size

    def keep(self, incoming: Path, sha256: str) -> str:
        """Make a received file a blob: file, then name, then folder reach the disk."""
        target = self.path(sha256)
        incoming.chmod(0o400)
        os.utime(incoming)  # a sweep goes by this time
        _fsync(incoming)
        with self._lock(fcntl.LOCK_SH):
            incoming.replace(target)
        _fsync(target.parent)
        return sha256

    def names(self) -> Iterator[str]:
        """Every blob there is."""
        for folder in sorted(self.folder.iterdir()):
            if len(folder.name) == 2:
                yield from (p.name for p in folder.iterdir() if _NAME.fullmatch(p.name))

    def sweep(self, named: set[str], since: float, keep_seconds: float = KEEP_SECONDS) -> Swept:
        """Remove blobs that are not `named` by any row, and uploads that were never finished.

        `since` is when (time.time) reading the rows began: what was kept later stays, because its
        row may have come after. Safe beside submissions and workers: a blob is looked at and
        removed while nobody can keep it anew.
        """
        before = min(since, time.time() - keep_seconds) - _CLOCK_SLACK
        there = set(self.names())
        removed = size = 0
        for name in sorted(there - named):
            with self._lock(fcntl.LOCK_EX):
                freed = _remove(self.path(name), before)
            removed, size = removed + (freed is not None), size + (freed or 0)
        for path in self._incoming.iterdir():
            _remove(path, time.time() - KEEP_SECONDS)
        return Swept(removed, size, frozenset(named - there))

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        with (self.folder / ".lock").open("a") as file:
            fcntl.flock(file, kind)
            yield


def _remove(path: Path, before: float) -> int | None:
    """Remove a file that was last written before a moment; its bytes, None when it stays."""
    try:
        found = path.stat()
        if found.st_mtime >= before:
            return None
        path.unlink()
    except FileNotFoundError:
        return None
    return found.st_size


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
