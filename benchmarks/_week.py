"""A synthetic week of cohorts and the labs they start, played under a policy. Pure but for random.

**Arrivals.** Each of 60 cohorts of 5 learners has four class hours in the week (weekdays, 9 to 18
o'clock), in which every learner starts a lab within the first 20 minutes with probability 0.8; and
each learner starts labs alone at a rate of 0.5 a day between 8 and 24 o'clock. A learner starts
no second lab while one runs or waits.

**Labs.** Work lasts lognormally, median 55 minutes (sigma 0.5). The GPU computes in 30 % of it.
One lab in ten needs a whole GPU, the others a seventh. One in four is not closed when the work is
done: it stays open for another 1 to 6 hours. Somebody who waits longer than 60 minutes goes on
without a GPU and counts as refused, with 60 minutes of waiting.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass, field

from core.units import WHOLE
from core.wire import GpuNeed, Slot
from usage.queue import Holding, Scene, Waiter, next_offers

COHORTS, EACH = 60, 5
MINUTE, HOUR, DAY = 60, 3600, 86_400
PATIENCE = 60 * MINUTE


@dataclass(frozen=True)
class Visit:
    """A lab that somebody wants. Times in seconds from the week's beginning."""

    at: int
    cohort: int
    learner: int
    work: int
    forgotten: int
    """For so long it stays open after the work, if nobody stops it."""
    whole: bool


@dataclass(frozen=True)
class Policy:
    """How GPUs are given out."""

    name: str
    slices: bool
    """GPUs are cut into seven where a lab does not need a whole one."""
    fair: bool
    """By share of the cohort, then arrival; else by arrival alone."""
    idle_stop: int | None
    """Seconds after which an idle lab is stopped."""
    cap: str
    """held: a lab ends when its cohort's budget does; launch: looked at when it starts; none."""
    lab_max: int = 8 * HOUR


@dataclass
class Week:
    """What came of it."""

    waits: list[int] = field(default_factory=list)
    served: int = 0
    refused: int = 0
    held: float = 0.0
    """GPU-hours held, of whole GPUs."""
    used: float = 0.0
    """GPU-hours in which a GPU computed for a lab."""
    overrun: float = 0.0
    """GPU-hours beyond the cohorts' budgets."""
    wanted: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    got: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def p95_min(self) -> float:
        """95th percentile of the waiting time in minutes."""
        ordered = sorted(self.waits) or [0]
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] / MINUTE

    @property
    def jain(self) -> float:
        """Jain's index over the cohorts' shares of wanted labs that were served; 1 is even."""
        shares = [self.got[c] / self.wanted[c] for c in self.wanted]
        squares = sum(share * share for share in shares)
        return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def visits(seed: int) -> list[Visit]:
    """Everything that the learners want in the week, by time."""
    dice = random.Random(seed)
    found = []
    for cohort in range(COHORTS):
        for _ in range(4):
            begin = dice.randrange(5) * DAY + dice.randrange(9, 18) * HOUR
            found += [
                _visit(dice, begin + dice.randrange(20 * MINUTE), cohort, learner)
                for learner in range(EACH)
                if dice.random() < 0.8
            ]
        for learner, day in itertools.product(range(EACH), range(7)):
            if dice.random() < 0.5:
                at = day * DAY + dice.randrange(8 * HOUR, 24 * HOUR)
                found.append(_visit(dice, at, cohort, learner))
    return sorted(found, key=lambda v: (v.at, v.cohort, v.learner))


def _visit(dice: random.Random, at: int, cohort: int, learner: int) -> Visit:
    work = int(dice.lognormvariate(0, 0.5) * 55 * MINUTE)
    forgotten = dice.randrange(HOUR, 6 * HOUR) if dice.random() < 0.25 else 0
    return Visit(at, cohort, learner, work, forgotten, dice.random() < 0.1)


def inventory(gpus: int, slices: bool, asked: list[Visit]) -> tuple[Slot, ...]:
    """The slots of `gpus` GPUs: with slices as many whole ones are kept as whole labs need."""
    share = sum(v.whole for v in asked) * 7 / (sum(v.whole for v in asked) * 6 + len(asked))
    whole = max(1, round(gpus * share)) if slices else gpus
    slots = [
        Slot(f"w{n}", f"w{n}", f"w{n}", "host", "whole", "GPU", 80_000, WHOLE) for n in range(whole)
    ]
    slots += [
        Slot(f"m{n}-{k}", "", f"m{n}", "host", "mig", "GPU", 10_000, WHOLE // 7)
        for n in range(whole, gpus)
        for k in range(7)
    ]
    return tuple(slots)


class _Play:
    def __init__(self, policy: Policy, gpus: int, asked: list[Visit], budget_hours: float) -> None:
        self.policy = policy
        self.slots = inventory(gpus, policy.slices, asked)
        self.left = dict.fromkeys(range(COHORTS), budget_hours * HOUR)
        self.week = Week()
        self.running: dict[int, tuple[Visit, Holding]] = {}
        self.waiting: dict[int, Visit] = {}
        self.busy: set[tuple[int, int]] = set()
        self.events = [(visit.at, number, "come") for number, visit in enumerate(asked)]
        self.asked = asked

    def run(self) -> Week:
        heapq.heapify(self.events)
        while self.events:
            now, number, what = heapq.heappop(self.events)
            if what == "come":
                self._come(now, number)
            elif what == "end":
                visit, _ = self.running.pop(number)
                self.busy.discard((visit.cohort, visit.learner))
            elif number in self.waiting:
                self._refuse(self.waiting.pop(number), PATIENCE)
            if self.waiting and what != "give up":
                self._deal(now)
        return self.week

    def _come(self, now: int, number: int) -> None:
        visit = self.asked[number]
        if (visit.cohort, visit.learner) in self.busy:
            return
        self.week.wanted[visit.cohort] += 1
        if self.policy.cap != "none" and self.left[visit.cohort] <= 0:
            self._refuse(visit, 0)
            return
        self.busy.add((visit.cohort, visit.learner))
        self.waiting[number] = visit
        heapq.heappush(self.events, (now + PATIENCE, number, "give up"))

    def _refuse(self, visit: Visit, waited: int) -> None:
        self.busy.discard((visit.cohort, visit.learner))
        self.week.refused += 1
        if waited:
            self.week.waits.append(waited)

    def _need(self, visit: Visit) -> GpuNeed:
        return GpuNeed("exclusive" if visit.whole or not self.policy.slices else "mig")

    def _deal(self, now: int) -> None:
        holdings = tuple(holding for _, holding in self.running.values())
        waiters = [
            Waiter(n, f"{v.cohort if self.policy.fair else 0}", self._need(v), n)
            for n, v in self.waiting.items()
        ]
        if not self.policy.fair:
            holdings = tuple(Holding("0", h.slots, 0) for h in holdings)
        for offer in next_offers(waiters, Scene(self.slots, frozenset(), holdings)):
            self._start(now, offer.waiter.id, offer.slots)

    def _start(self, now: int, number: int, slots: tuple[Slot, ...]) -> None:
        visit, policy = self.waiting.pop(number), self.policy
        open_after = visit.forgotten
        if policy.idle_stop is not None:
            open_after = min(open_after, policy.idle_stop)
        weight = sum(slot.weight for slot in slots) / WHOLE
        held = min(visit.work + open_after, policy.lab_max)
        if policy.cap == "held":  # set aside at the start, so nobody's lab runs past the cap
            held = int(min(held, max(0.0, self.left[visit.cohort]) / weight))
        before = self.left[visit.cohort]
        self.left[visit.cohort] -= held * weight
        if policy.cap != "none":
            over = max(0.0, -self.left[visit.cohort]) - max(0.0, -before)
            self.week.overrun += over / HOUR
        self.week.waits.append(now - visit.at)
        self.week.served += 1
        self.week.got[visit.cohort] += 1
        self.week.held += held * weight / HOUR
        self.week.used += min(held, visit.work) * 0.3 * weight / HOUR
        self.running[number] = (visit, Holding(str(visit.cohort), slots, 0))
        heapq.heappush(self.events, (now + max(1, held), number, "end"))


def play(policy: Policy, gpus: int, asked: list[Visit], budget_hours: float) -> Week:
    """The week under `policy`; `budget_hours` GPU-hours for each cohort."""
    return _Play(policy, gpus, asked, budget_hours).run()
