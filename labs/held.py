"""How long a process has been running, by the boot clock: the one measure that labs are charged by.

Both readings come from the kernel's boot-time clock, so that a change of the wall clock (an hour
forward, daylight saving) changes no charge.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.clock import boot_ms

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def started_ms(pid: int, proc: Path = Path("/proc")) -> int | None:
    """When process `pid` started, in ms since boot; None when it is gone."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return int(fields[19]) * 1000 // _TICKS_PER_SECOND  # field 22 of proc(5)


def held_ms(pid: int) -> int | None:
    """Age of process `pid` in ms, never negative; None when it is gone."""
    started = started_ms(pid)
    return None if started is None else max(0, boot_ms() - started)
