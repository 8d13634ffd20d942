"""How long a process has been running, by the boot clock: the one measure that labs are charged by.

Both readings come from the kernel's boot-time clock, so that a change of the wall clock (an hour
forward, daylight saving) changes no charge.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
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


def held_until(started: int, seen_ms: int, now_ms: int, finished_at: str, now: datetime) -> int:
    """Held time of a process that ended between `seen_ms` and `now_ms` (boot clock).

    `started`: see `started_ms`. `finished_at` is Docker's word for its end, by the wall clock; only
    its distance from `now` counts and never beyond what was seen, so that a step of that clock
    changes the charge by no more than the stop itself took.
    """
    try:
        ended = datetime.fromisoformat(finished_at[:19]).replace(tzinfo=UTC)
        ago = math.ceil((now - ended).total_seconds() * 1000 - _fraction_ms(finished_at))
    except ValueError:
        ago = 0
    return max(0, now_ms - min(max(ago, 0), now_ms - seen_ms) - started)


def _fraction_ms(moment: str) -> float:
    """Milliseconds in ``2026-11-22T14:50:54.470539917Z``; Docker leaves out zeros at the end."""
    digits = moment[19:].lstrip(".").split("Z")[0].split("+")[0]
    return float(f"0.{digits}") * 1000 if digits.isdigit() else 0.0
