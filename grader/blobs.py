"""Content-addressed files, ``blobs/ab/abcd…``. A blob is durable before its name is used."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path


class TooLarge(Exception):
    """More bytes than allowed; the text is the limit."""


class Blobs:
    """Files by the SHA-256 of their content. Writing the same bytes twice is harmless."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

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
        _fsync(incoming)
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        incoming.chmod(0o400)
        incoming.replace(target)
        _fsync(target.parent)
        _fsync(self.folder)
        return sha256


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
