"""Home volumes that end: each is a file system of its own in a sparse file of a fixed size.

Docker's plain volumes have no size, so that one learner could fill the disk for all. Here the
kernel itself says "no space left" at the limit. Needs root and loop devices; without them homes are
plain volumes (`problem` says why, `./dli doctor` shows it).

A home is ``<state_dir>/homes/<suffix>.img``; ``<suffix>.dev`` beside it points to the loop device
that holds it since the last boot, and is what Docker mounts: after a reboot nothing can be mounted
in its place by mistake.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.programs import which
from core.settings import Settings

_GIB = 1 << 30
RESERVE = 2 * _GIB
"""Bytes that stay free for the platform: with less, no home is handed out."""
_TOOLS = ("mkfs.ext4", "debugfs", "losetup")
_CONTROL = Path("/dev/loop-control")
_SECONDS = 60


class HomeError(OSError):
    """A home could not be made or attached: the tool's own words."""


def folder(settings: Settings) -> Path:
    """Where the images lie."""
    return settings.state_dir / "homes"


def problem(settings: Settings) -> str:
    """Why homes have no limit here; empty when they have one."""
    if settings.labs.home_gb == 0:
        return "labs.home_gb is 0"
    if os.geteuid() != 0:
        return "the platform was not started by root"
    missing = [tool for tool in _TOOLS if which(tool) is None]
    if missing or not _CONTROL.exists():
        return "missing: " + ", ".join(missing or [str(_CONTROL)])
    return ""


def options(settings: Settings, suffix: str) -> dict[str, str]:
    """Options of Docker's `local` driver for this home, made and attached now. Raises OSError.

    `suffix` is the volume's name without the instance, such as ``home-kim``.
    """
    folder(settings).mkdir(exist_ok=True, mode=0o700)
    image = folder(settings) / f"{suffix}.img"
    with _locked(folder(settings)):
        if shutil.disk_usage(folder(settings)).free < RESERVE:
            raise HomeError("no space left on device: less than 2 GiB are free for homes")
        if not image.exists():
            _make(image, settings.labs.home_gb * _GIB)
        attach(image)
    return {"type": "ext4", "device": str(_link(image)), "o": "nosuid,nodev,noatime"}


def attach(image: Path) -> None:
    """Put the image behind a loop device where it is not yet."""
    link = _link(image)
    if link.is_symlink() and _behind(link.readlink().name) == str(image):
        return
    device = _run("losetup", "--find", "--show", str(image)).strip()
    fresh = link.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(device)
    fresh.replace(link)


def attach_known(settings: Settings, suffix: str) -> None:
    """Attach a home that was made before; a plain volume needs nothing."""
    image = folder(settings) / f"{suffix}.img"
    if image.exists():
        with _locked(folder(settings)):
            attach(image)


def remove(settings: Settings, suffix: str) -> None:
    """Remove a home for good, once Docker has let its volume go. A missing one is no error.

    Raises OSError.
    """
    image = folder(settings) / f"{suffix}.img"
    if not folder(settings).is_dir():
        return
    with _locked(folder(settings)):
        _detach(_link(image))
        image.unlink(missing_ok=True)


def detach_all(settings: Settings) -> None:
    """Give the loop devices back, before the images are removed."""
    if not folder(settings).is_dir():
        return
    for link in folder(settings).glob("*.dev"):
        _detach(link)


def _detach(link: Path) -> None:
    if link.is_symlink():
        device = link.readlink()
        if _behind(device.name) == str(link.with_suffix(".img")):
            _run("losetup", "--detach", str(device))
        link.unlink()


def _make(image: Path, size: int) -> None:
    """An empty file system whose root is the learner's; it appears whole or not at all."""
    draft = image.with_suffix(".draft")
    with draft.open("wb") as file:
        file.truncate(size)
    draft.chmod(0o600)
    quick = "root_owner=1000:1000,lazy_itable_init=1,lazy_journal_init=1"
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", quick, str(draft))
    _run("debugfs", "-w", "-R", "rmdir lost+found", str(draft))
    draft.rename(image)


def _link(image: Path) -> Path:
    return image.with_suffix(".dev")


def _behind(device: str) -> str:
    """The file behind a loop device, as the kernel says; empty for none."""
    try:
        return Path(f"/sys/block/{device}/loop/backing_file").read_text().strip()
    except OSError:
        return ""


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(tool: str, *words: str) -> str:
    try:
        done = subprocess.run(
            [which(tool) or tool, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HomeError(f"{tool}: {error}") from error
    if done.returncode != 0:
        raise HomeError(f"{tool}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
