"""Shut a fresh fork in, before it executes the first byte of a learner.

Runs as root with the zygote's few capabilities and ends as an unprivileged uid that has none, in
its own pid, mount, network, ipc and uts namespaces. `check` proves it from /proc, and the fork
dies if anything is missing.
"""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import Any

from . import seccomp

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_DETACH = 2
_STAGE = "/run/dli/fs"
_MASKED = ("kcore", "keys", "timer_list", "latency_stats", "sched_debug", "sysrq-trigger")
MB = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)


class IsolationError(RuntimeError):
    """A fork is not shut in as promised. Nothing of a learner has run."""


def _call(name: str, *args: Any) -> None:
    if getattr(libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise IsolationError(f"{name}{args}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind and kind.encode(),
          ctypes.c_ulong(flags), data.encode())  # fmt: skip


def unshare(flags: int) -> None:
    """unshare(2). Raises IsolationError."""
    _call("unshare", flags)


def set_namespace(fd: int, kind: int) -> None:
    """setns(2). Raises IsolationError."""
    _call("setns", fd, kind)


def shut_in(uid: int, limits: dict[str, int]) -> None:
    """Namespaces, mounts, limits, uid, capabilities, filter, in this order; then `check`.

    `limits`: memory_mb, disk_mb, files, processes, seconds. Raises IsolationError or OSError.
    """
    unshare(NEWNS | NEWNET | NEWIPC | NEWUTS)
    _call("sethostname", b"sandbox", 7)
    _mounts(limits)
    _limits(limits)
    _drop(uid)
    check(uid)


def _mounts(limits: dict[str, int]) -> None:
    _mount("none", "/", None, _REC | _PRIVATE)
    size = f"size={limits['disk_mb']}m,nr_inodes={limits['files']},mode=0755"
    _mount("tmpfs", _STAGE, "tmpfs", _NOSUID | _NODEV, size)
    for name, target, mode in (("work", "/work", 0o777), ("tmp", "/tmp", 0o1777),  # noqa: S108
                               ("shm", "/dev/shm", 0o1777)):  # noqa: S108  # fmt: skip
        folder = Path(_STAGE, name)
        folder.mkdir()
        folder.chmod(mode)  # no CAP_CHOWN; only one uid lives in here
        _mount(str(folder), target, None, _BIND)
    if Path("/dev/mqueue").is_dir():  # the container's would be shared by all forks
        _mount("tmpfs", "/dev/mqueue", "tmpfs", _NOSUID | _NODEV | _NOEXEC | _RDONLY, "size=4k")
    _call("umount2", b"/run/dli", _DETACH)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC | _RDONLY)
    for name in _MASKED:
        if Path("/proc", name).exists():
            _mount("/dev/null", f"/proc/{name}", None, _BIND)


def _limits(limits: dict[str, int]) -> None:
    # Address space above what the zygote's packages map already.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    room = mapped + limits["memory_mb"] * MB if limits["address_space"] else resource.RLIM_INFINITY
    for kind, value in (
        (resource.RLIMIT_AS, room),
        (resource.RLIMIT_FSIZE, limits["disk_mb"] * MB),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CPU, limits["seconds"] * 4),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_SIGPENDING, 256),
    ):
        resource.setrlimit(kind, (value, value))


def _drop(uid: int) -> None:
    bounding_drop, no_new_privs = 24, 38
    capability = 0
    while libc.prctl(bounding_drop, capability, 0, 0, 0) == 0:
        capability += 1
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
    _call("prctl", no_new_privs, 1, 0, 0, 0)
    seccomp.install(libc)


def check(uid: int) -> None:
    """Compare /proc/self/status with the promise. Raises IsolationError naming what is missing."""
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    wanted = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    wanted |= {"NoNewPrivs": "1", "Seccomp": "2", "Pid": "1", "Groups": ""}
    wanted |= dict.fromkeys(("Uid", "Gid"), "\t".join([str(uid)] * 4))
    seen = {key: status.get(key, "?").strip() for key in wanted}
    wrong = {key: value for key, value in seen.items() if value != wanted[key]}
    if wrong:
        raise IsolationError(f"not shut in: {wrong}")
