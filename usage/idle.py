"""Since when a GPU lab is idle. Pure.

Idle is only what is known to be idle: the lab's own server says that no kernel runs and no other
program does, and nothing may be computing on its GPU. A GPU whose activity nobody measures may be
computing, so a lab on it is never idle; a simulated GPU computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STALE_MS = 180_000
"""A lab that said nothing for so long is not known to be idle any more (it reports each minute)."""


def since(
    held_ms: int, slots: Sequence[dict[str, Any]], busy: bool, idle_seconds: float
) -> int | None:
    """Held time since when the lab is idle; None when it is not known to be.

    `idle_seconds` comes from the lab and may be any number.
    """
    if busy or not all(slot.get("simulated") for slot in slots):
        return None
    if not 0 <= idle_seconds < 10**9:  # also NaN
        return held_ms
    return max(0, held_ms - int(idle_seconds * 1000))
