"""Plain tar archives of course folders: built for a submission, unpacked after a fetch.

Uncompressed on purpose: what is sent is what it weighs, so there is nothing to bomb with.
"""

from __future__ import annotations

import fnmatch
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

IGNORED = (".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", ".git", ".DS_Store")
"""Names that are never sent: nbgrader's own list and editors' leavings."""


class NotRegular(ValueError):
    """Something in the folder that is neither a folder nor a regular file. `name` is relative."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def files_of(folder: Path, ignored: tuple[str, ...] = IGNORED) -> dict[str, Path]:
    """Regular files below `folder` by relative POSIX name, sorted. Raises NotRegular."""
    found: dict[str, Path] = {}
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not _matches(n, ignored))
        for name in sorted([*names, *folders]):
            path = Path(root) / name
            if _matches(name, ignored) or (path.is_dir() and not path.is_symlink()):
                continue
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                raise NotRegular(relative)
            found[relative] = path
    return dict(sorted(found.items()))


def build(folder: Path, ignored: tuple[str, ...] = IGNORED) -> bytes:
    """A tar of `folder`'s regular files; equal folders give equal bytes. Raises NotRegular."""
    return build_from({n: p.read_bytes() for n, p in files_of(folder, ignored).items()})


def build_from(files: dict[str, bytes]) -> bytes:
    """A tar of `files` by relative name, without times, owners or modes of their own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(data: bytes, target: Path, only_missing: bool = False) -> list[str]:
    """Unpack a fetched archive; names of the files written.

    A new `target` appears whole or not at all. With `only_missing`, files that exist stay as
    they are.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        fresh = Path(scratch) / "files"
        fresh.mkdir()
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            _write_regular(tar, fresh)
        names = list(files_of(fresh, ()))
        if not target.exists():
            fresh.rename(target)
            return names
        written = [name for name in names if only_missing and not (target / name).exists()]
        for name in written:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(fresh / name, target / name)
        return written


def _write_regular(tar: tarfile.TarFile, folder: Path) -> None:
    """Write the archive's files below `folder`. Raises NotRegular for anything else in it.

    Not `extractall(filter="data")`: Debian 12's Python 3.11.2 does not know filters yet.
    """
    for member in tar:
        path = PurePosixPath(member.name)
        source = tar.extractfile(member) if member.isreg() else None
        if source is None or path.is_absolute() or ".." in path.parts:
            raise NotRegular(member.name)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(source.read())


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
