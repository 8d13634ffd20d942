"""The Hub under an account of its own: ``python -m cli.confined <words of Python>``.

Started by root, the Hub gets the account ``dli-hub``, which may not open Docker's socket, no
capability and no way to gain one. It also gets a view of the file system of its own: where a folder
is closed to others (the state folder is, and ``/root``), that folder holds only what the Hub needs
below it.

Started by anybody else, the Hub is that same person: an account that may use Docker is as good as
root, and nothing here changes that (`./dli doctor` says so).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

from cli.errors import CliError
from cli.text import _
from core.programs import which
from core.settings import ROOT, Settings, load
from hub.storage import SECRETS, folder
from labs.runner import HUB_ACCOUNT, socket_path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_PR_SET_NO_NEW_PRIVS = 38
_DATABASE = ("hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm", "hub.sqlite-journal")


def ensure_account() -> None:
    """Make the Hub's account where root starts the platform. Raises CliError."""
    if os.geteuid() != 0 or _account() is not None:
        return
    words = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run(
        [which("useradd") or "useradd", *words, "--shell", "/usr/sbin/nologin", HUB_ACCOUNT],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and _account() is None:  # another instance may have made it just now
        raise CliError(
            _("The account {name} could not be made: {error}", name=HUB_ACCOUNT,
              error=done.stderr.strip()),
            f"useradd --system --user-group {HUB_ACCOUNT}",
        )  # fmt: skip


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(HUB_ACCOUNT)
    except KeyError:
        return None


def prepare(settings: Settings, uid: int, gid: int) -> None:
    """Give the Hub's account its part of the state folder, and close the rest to it."""
    state = settings.state_dir
    own = folder(settings)
    own.mkdir(exist_ok=True, mode=0o700)
    _adopt_database(state, own)
    for name in (*_DATABASE, "hub.pid"):
        _give(own / name, uid, gid)
    os.chown(own, uid, gid)
    own.chmod(0o700)
    for name in SECRETS:
        _give(state / "secrets" / name, uid, gid)
    state.chmod(0o700)  # closed: the Hub's view holds its own parts alone
    for place in (state / "run", state / "secrets"):
        os.chown(place, -1, gid)
        place.chmod(0o710)  # it may open what is given to it, not look around


def _adopt_database(state: Path, own: Path) -> None:
    """Before the Hub had a folder of its own its database lay in the state folder."""
    if not (own / _DATABASE[0]).exists():
        for name in reversed(_DATABASE):  # the database last: only it says that all are there
            if (state / name).exists():
                (state / name).rename(own / name)


def _give(path: Path, uid: int, gid: int) -> None:
    """Hand a plain file over. Never through a link: the folder's owner could point it anywhere."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise CliError(_("{file} is not a plain file; remove it", file=path))
        os.fchown(handle, uid, gid)
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def first_closed(place: Path, uid: int, gid: int) -> Path | None:
    """The outermost folder above `place` that the account cannot pass; None when it can all."""
    for above in reversed(place.parents):
        found = above.stat()
        bit = stat.S_IXOTH
        if found.st_uid == uid:
            bit = stat.S_IXUSR
        elif found.st_gid == gid:
            bit = stat.S_IXGRP
        if not found.st_mode & bit:
            return above
    return None


def _own_view(places: list[Path], uid: int, gid: int) -> None:
    """A view of the file system for this process alone, in which it can reach `places`.

    Each closed folder on the way is covered by an empty one that holds the places needed below it.
    """
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    for place in places:  # more than once: below a place that was closed there may be another
        while (above := first_closed(place, uid, gid)) is not None:
            _cover(above, [p for p in places if p.is_relative_to(above)])


def _cover(above: Path, places: list[Path]) -> None:
    outermost = [p for p in places if not any(p != q and p.is_relative_to(q) for q in places)]
    handles = {place: os.open(place, os.O_PATH | os.O_DIRECTORY) for place in outermost}
    _call("mount", b"none", os.fsencode(above), b"tmpfs", 0, b"mode=755,size=64k")
    for place, handle in handles.items():
        place.mkdir(parents=True, exist_ok=True)
        source = f"/proc/self/fd/{handle}".encode()
        _call("mount", source, os.fsencode(place), None, _MS_BIND | _MS_REC, None)
        os.close(handle)


def _call(function: str, *words: object) -> None:
    if getattr(_LIBC, function)(*words) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _needed(settings: Settings) -> list[Path]:
    """Where the Hub finds its programs, the courses and its part of the state folder."""
    state = settings.state_dir
    programs = {ROOT, Path(sys.prefix), Path(sys.base_prefix), settings.courses_dir}
    own = {folder(settings), state / "run", state / "secrets"}
    return sorted({place.resolve() for place in programs | own if place.exists()})


def confine(settings: Settings) -> None:
    """Become the Hub's account, for ever. Only root can. Raises OSError, CliError."""
    account = _account()
    if account is None:
        raise CliError(_("The account {name} is missing", name=HUB_ACCOUNT), "./dli up")
    uid, gid = account.pw_uid, account.pw_gid
    prepare(settings, uid, gid)
    _own_view(_needed(settings), uid, gid)
    os.chdir(folder(settings))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not os.access(ROOT, os.R_OK | os.X_OK):
        raise CliError(
            _("The account {name} may not read {folder}", name=HUB_ACCOUNT, folder=ROOT),
            f"chmod -R go+rX {ROOT}",
        )


def environment(settings: Settings) -> dict[str, str]:
    """The Hub's: Docker through the runner, and no word of the services' databases."""
    own = {
        "DOCKER_HOST": f"unix://{socket_path(settings)}",
        # Every setting stands in the environment; the file may hold more than the Hub's part.
        "DLI_SETTINGS": "/nonexistent",
        "DLI_USAGE__DATABASE": "",
        "DLI_GRADER__DATABASE": "",
    }
    if os.geteuid() == 0:
        own |= {"HOME": str(folder(settings)), "USER": HUB_ACCOUNT, "LOGNAME": HUB_ACCOUNT}
    return own


def main() -> None:
    """Become the Hub."""
    settings = load()
    own = environment(settings)
    folder(settings).mkdir(exist_ok=True, mode=0o700)
    try:
        if os.geteuid() == 0:
            confine(settings)
    except (CliError, OSError) as error:
        sys.exit(f"hub: {error}. {getattr(error, 'remedy', '')}")
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], os.environ | own)  # noqa: S606


if __name__ == "__main__":
    main()
