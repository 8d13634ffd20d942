"""`./dli restore FILE`: an archive of `./dli backup` into an instance that holds nothing yet.

All of it is read and compared with its hashes first; only then it is moved into place.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from cli import homes, supervisor
from cli.backup import FORMAT, HOMES, MANIFEST, STATE
from cli.errors import CliError
from cli.steps import Report
from cli.supervised import Supervised
from cli.text import _
from core.settings import Settings

_PIECE = 1 << 20
_SUFFIX = re.compile(r"home-[a-z0-9-]{1,60}")


def restore(settings: Settings, file: Path, report: Report) -> dict[str, Any]:
    """Put everything back; the archive's manifest. Raises CliError and changes nothing then."""
    _check(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=settings.state_dir, prefix=".restore-") as scratch:
        folder = Path(scratch)
        try:
            with tarfile.open(file, mode="r:gz") as tar:
                hashes = _unpack(tar, folder, report)
            manifest = _manifest(folder, hashes)
        except (tarfile.TarError, EOFError, OSError, ValueError, KeyError) as error:
            raise CliError(
                _("{file} is not a whole backup: {error}", file=file, error=error)
            ) from None
        for home in manifest["homes"]:
            report(home["suffix"])
            with (folder / HOMES / f"{home['suffix']}.tar").open("rb") as spooled:
                homes.restore(settings, home["suffix"], home["user"], spooled)
        _move(folder / STATE, settings.state_dir)
    return manifest


def _check(settings: Settings) -> None:
    if Supervised(supervisor.run_dir(settings)).running():
        raise CliError(_("The platform is running"), _("Stop it first: ./dli down"))
    for name in ("usage.sqlite", "grader.sqlite", "hub/hub.sqlite", "hub.sqlite"):
        if (settings.state_dir / name).exists():
            raise CliError(
                _("There is data in {folder} already", folder=settings.state_dir),
                _("Restore into an empty state_dir, or remove this one: ./dli down --purge"),
            )


def _unpack(tar: tarfile.TarFile, folder: Path, report: Report) -> dict[str, str]:
    """Plain files below `folder`, each with its hash. Raises ValueError for anything else."""
    hashes = {}
    for member in tar:
        path = PurePosixPath(member.name)
        fine = member.isreg() and ".." not in path.parts and not path.is_absolute()
        if not fine or (path.parts[0] not in (STATE, HOMES) and member.name != MANIFEST):
            raise ValueError(_("{name} does not belong there", name=repr(member.name)[:200]))
        report(member.name)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        source, total = tar.extractfile(member), hashlib.sha256()
        assert source is not None
        with target.open("xb") as written:
            target.chmod(0o600)
            while piece := source.read(_PIECE):
                written.write(piece)
                total.update(piece)
        hashes[member.name] = total.hexdigest()
    return hashes


def _manifest(folder: Path, hashes: dict[str, str]) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.exists():
        raise ValueError(_("it was cut short"))
    manifest: dict[str, Any] = json.loads(file.read_text())
    if manifest["format"] != FORMAT:
        raise ValueError(_("format {number} is not known", number=manifest["format"]))
    hashes.pop(MANIFEST)
    if hashes != manifest["sha256"]:
        raise ValueError(_("its contents do not match its hashes"))
    if not all(_SUFFIX.fullmatch(home["suffix"]) for home in manifest["homes"]):
        raise ValueError(_("a home's name cannot be used"))
    return manifest


def _move(fresh: Path, state: Path) -> None:
    """Into the state folder; folders that are there are filled, secrets that are there replaced."""
    for path in sorted(fresh.rglob("*")):
        if path.is_file():
            target = state / path.relative_to(fresh)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(path, target)
