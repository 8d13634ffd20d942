"""Since when a GPU lab is idle. Pure.

Idle is only what is known to be idle: the lab's own server says that no kernel runs and no other
program does, and the agent on its host knows that the lab computes nothing on its GPUs. What nobody
has said lately, or what NVML does not tell, is unknown, and unknown is never idle. A simulated GPU
computes nothing.
"""

from __future__ import annotations

from usage.models import LeaseRow

STALE_MS = 180_000
"""A lab that said nothing for so long is not known to be idle any more (it reports each minute)."""
STALE_GPU_MS = 75_000
"""The same for the agent's word about its GPUs, which comes with each heartbeat."""


def since(held_ms: int, busy: bool, idle_seconds: float) -> int | None:
    """Held time since when the lab's server says that nothing runs; None when something does.

    `idle_seconds` comes from the lab and may be any number.
    """
    if busy:
        return None
    if not 0 <= idle_seconds < 10**9:  # also NaN
        return held_ms
    return max(0, held_ms - int(idle_seconds * 1000))


def of_both(row: LeaseRow, held_ms: int) -> int | None:
    """Held time since when kernels and GPUs are idle; None when one is not known to be.

    `held_ms`: its held time now, beyond the last report.
    """
    if row.idle_since_ms is None or all(slot.get("simulated") for slot in row.slots):
        return row.idle_since_ms
    if row.gpu_quiet_since_ms is None or held_ms - row.held_ms > STALE_GPU_MS:
        return None
    return max(row.idle_since_ms, row.gpu_quiet_since_ms)


def worked(
    told_ms: int, held_ms: int, busy: bool, idle_seconds: float, most_ms: int = STALE_MS
) -> tuple[int, int]:
    """What a lab's word says about the time since its last one: held time in which its kernels
    worked, and held time of which that is known at all, both in ms.

    `told_ms`: held time at its last word. A word covers `most_ms` at most: nobody knows what was
    before a longer silence.
    """
    span = min(most_ms, max(0, held_ms - told_ms))
    if busy:
        return span, span
    if not 0 <= idle_seconds < 10**9:
        return 0, 0
    return max(0, span - int(idle_seconds * 1000)), span
