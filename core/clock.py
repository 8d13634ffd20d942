"""Ages that no wall clock can change.

CLOCK_BOOTTIME counts also while the machine sleeps and never jumps; it means something only
together with the boot it belongs to. Wall-clock time is for people to read, never for charges.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path


def boot_ms() -> int:
    """Milliseconds since this machine booted."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@cache
def boot_id() -> str:
    """The kernel's random id of the current boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def now() -> datetime:
    """The current time with its zone (UTC). The one place that asks for wall-clock time."""
    return datetime.now(UTC)
