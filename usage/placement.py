"""Which slots a lab gets. Pure: the inventory, what is taken and the need decide, nothing else.

* ``exclusive``: a whole GPU alone.
* ``mig``: memory of one's own: a MIG slice, or a whole GPU when no slice is free.
* ``shared``: also a time-slice seat, whose GPU memory other learners' labs share.

The lightest fitting slot wins, since it costs the cohort least; among equals the GPU that is
already partly used, so that other GPUs stay whole for those who need that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from core.wire import GpuNeed, Slot

_FITS: dict[str, tuple[str, ...]] = {
    "exclusive": ("whole",),
    "mig": ("mig", "whole"),
    "shared": ("seat", "mig", "whole"),
}


@dataclass(frozen=True)
class NoPlace:
    """Why there is no slot: ``none`` (no GPU at all), ``unfit`` (none could ever do), ``full``."""

    code: Literal["none", "unfit", "full"]


def place(
    inventory: Iterable[Slot], taken: Iterable[Slot], need: GpuNeed, closed: frozenset[str]
) -> list[Slot] | NoPlace:
    """`need.count` free slots of one host, or why not.

    `taken` are the slots of open leases, also of ones no longer in the inventory; `closed` the ids
    of slots that take no new lab (drained).
    """
    present = list(inventory)
    if not present:
        return NoPlace("none")
    fitting = [s for s in present if _fits(s, need)]
    taken = list(taken)
    held = _Held(taken)
    free = [s for s in fitting if s.healthy and s.id not in closed and not _blocked(s, held)]
    return _choose(free, taken, need) or NoPlace("full" if _choose(fitting, [], need) else "unfit")


def _fits(slot: Slot, need: GpuNeed) -> bool:
    # One process sees one MIG slice at most, so several GPUs means several whole ones or seats.
    if need.count > 1 and slot.kind == "mig":
        return False
    return slot.kind in _FITS[need.isolation] and slot.memory_mb >= need.memory_mb


class _Held:
    """Taken slots by id, and the kinds that are taken on each GPU."""

    def __init__(self, taken: list[Slot]) -> None:
        self.ids = {slot.id for slot in taken}
        self.kinds: dict[str, set[str]] = defaultdict(set)
        for slot in taken:
            self.kinds[slot.gpu].add(slot.kind)


def _blocked(slot: Slot, held: _Held) -> bool:
    """True when an open lease holds this slot, or a slot that excludes it on the same GPU."""
    kinds = held.kinds.get(slot.gpu)
    return slot.id in held.ids or bool(kinds and (slot.kind == "whole" or kinds != {slot.kind}))


def _choose(slots: list[Slot], taken: list[Slot], need: GpuNeed) -> list[Slot]:
    """The best `need.count` of `slots`, on distinct GPUs of one host; empty when there are not."""
    used = Counter(s.gpu for s in taken)
    ranked = sorted(slots, key=lambda s: (s.weight, s.memory_mb, -used[s.gpu], s.gpu, s.id))
    best: list[Slot] = []
    for host in sorted({s.host for s in ranked}):
        chosen: dict[str, Slot] = {}
        for slot in ranked:
            if slot.host == host and slot.gpu not in chosen and len(chosen) < need.count:
                chosen[slot.gpu] = slot
        picked = list(chosen.values())
        if len(picked) == need.count and (not best or _cost(picked) < _cost(best)):
            best = picked
    return best


def _cost(slots: list[Slot]) -> int:
    return sum(slot.weight for slot in slots)
