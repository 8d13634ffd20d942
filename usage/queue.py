"""Who gets the next free GPU, and when that may be. Pure.

The next GPU goes to the cohort whose labs hold the smallest share of the GPUs now; within it, to
whoever came first. Somebody whose need no free slot meets is passed over by those behind whose need
is met, so that no GPU stands idle while a fitting person waits; who is passed over keeps the place.

Times are milliseconds from now, shares core.units weights.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from core.wire import GpuNeed, Slot
from usage.placement import NoPlace, place


@dataclass(frozen=True)
class Waiter:
    """Somebody who waits. `arrived` orders them; smaller came earlier."""

    id: int
    cohort: str
    need: GpuNeed
    arrived: int


@dataclass(frozen=True)
class Holding:
    """Slots that are taken until `in_ms` at the latest, by a lab or an offer of `cohort`."""

    cohort: str
    slots: tuple[Slot, ...]
    in_ms: int


@dataclass(frozen=True)
class Scene:
    """The GPUs and who holds them.

    `room`: most GPU labs of a cohort at once, where there is a limit; `kept`: free slots that a
    cohort has for itself (usage.windows).
    """

    inventory: tuple[Slot, ...]
    closed: frozenset[str]
    holdings: tuple[Holding, ...]
    room: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """Slots for one waiter."""

    waiter: Waiter
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Outlook:
    """A place in the queue: 1 is next. `wait_ms`: at the latest; None when nothing can be said."""

    position: int
    wait_ms: int | None


def next_offers(waiters: Iterable[Waiter], scene: Scene) -> list[Offer]:
    """Whom the free slots go to now, in order."""
    return _deal(_Line(waiters), scene)


def outlook(waiters: Iterable[Waiter], scene: Scene, hold_ms: int) -> dict[int, Outlook]:
    """Each waiter's place, by playing the open leases' deadlines through.

    Whoever gets a slot in the play holds it for `hold_ms`, the longest time of a lab; real labs end
    earlier, so the wait is an upper bound as long as nobody of a smaller share joins.
    """
    line, found = _Line(waiters), dict[int, Outlook]()
    ends = [(holding.in_ms, number) for number, holding in enumerate(scene.holdings)]
    known = dict(enumerate(scene.holdings))
    heapq.heapify(ends)
    numbers, now = itertools.count(len(known)), 0
    while True:
        for offer in _deal(line, replace(scene, holdings=tuple(known.values()))):
            found[offer.waiter.id] = Outlook(len(found) + 1, now)
            number = next(numbers)
            known[number] = Holding(offer.waiter.cohort, offer.slots, now + hold_ms)
            heapq.heappush(ends, (now + hold_ms, number))
        if not ends or line.empty:
            break
        now, number = heapq.heappop(ends)
        del known[number]
    for waiter in line.rest():
        found[waiter.id] = Outlook(len(found) + 1, None)
    return found


class _Line:
    """Waiters grouped by cohort and need; of each group only the first can be next."""

    def __init__(self, waiters: Iterable[Waiter]) -> None:
        groups: dict[tuple[str, GpuNeed], deque[Waiter]] = defaultdict(deque)
        for waiter in sorted(waiters, key=lambda w: (w.arrived, w.id)):
            groups[waiter.cohort, waiter.need].append(waiter)
        self._groups = groups

    @property
    def empty(self) -> bool:
        return not any(self._groups.values())

    def heads(self) -> list[Waiter]:
        return [group[0] for group in self._groups.values() if group]

    def take(self, waiter: Waiter) -> None:
        self._groups[waiter.cohort, waiter.need].popleft()

    def rest(self) -> list[Waiter]:
        left = [waiter for group in self._groups.values() for waiter in group]
        return sorted(left, key=lambda w: (w.arrived, w.id))


def _deal(line: _Line, scene: Scene) -> list[Offer]:
    """Take waiters off the line as long as one of them can be placed."""
    taken = [slot for holding in scene.holdings for slot in holding.slots]
    share: dict[str, int] = defaultdict(int)
    labs: dict[str, int] = defaultdict(int)
    for holding in scene.holdings:
        share[holding.cohort] += sum(slot.weight for slot in holding.slots)
        labs[holding.cohort] += 1
    offers: list[Offer] = []
    full: set[tuple[str, GpuNeed]] = set()  # slots only get fewer here, so what is full stays full
    while True:
        able = [
            waiter
            for waiter in line.heads()
            if (waiter.cohort, waiter.need) not in full
            and labs[waiter.cohort] < scene.room.get(waiter.cohort, labs[waiter.cohort] + 1)
        ]
        if not able:
            return offers
        waiter = min(able, key=lambda w: (share[w.cohort], w.arrived, w.id))
        others = [s for cohort, kept in scene.kept.items() if cohort != waiter.cohort for s in kept]
        slots = place(scene.inventory, taken + others, waiter.need, scene.closed)
        if isinstance(slots, NoPlace):
            full.add((waiter.cohort, waiter.need))
            continue
        line.take(waiter)
        offers.append(Offer(waiter, tuple(slots)))
        taken += slots
        share[waiter.cohort] += sum(slot.weight for slot in slots)
        labs[waiter.cohort] += 1
