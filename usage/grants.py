"""How much is reserved ahead, when a lab will stop and why, and which warnings are due. Pure.

A lab runs on a *grant*: held time paid for in advance out of the pool. While less than half of the
window lies ahead the grant is extended, as far as pool, learner cap and limit allow. So the sum of
settled and reserved never passes the cap, and a lab never runs on money that is not there.

Times are milliseconds of held time, amounts core.units units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.units import ms_for

MIN_START_MS = 5_000
"""Less than this and a lab would be stopped while it opens; it is refused instead."""

Reason = Literal[
    "lab_max", "cohort_end", "budget", "learner_cap", "daily_cap", "idle", "gpu_off", "removed"
]


@dataclass(frozen=True)
class Funds:
    """What may still be reserved: of the pool, and of the learner's own cap (None: no cap)."""

    pool: int
    learner: int | None = None
    by_day: bool = False
    """`learner` is what is left of the cap for one day, which is less than of the whole."""

    @property
    def least(self) -> int:
        """Units that a new reservation may have at most."""
        return max(0, self.pool if self.learner is None else min(self.pool, self.learner))


@dataclass(frozen=True)
class Running:
    """A lab as the meter sees it."""

    held_ms: int
    grant_ms: int
    limit_ms: int
    """Longest held time by the lab's or cohort's maximum."""
    weight: int
    to_end_ms: int
    """Until the cohort's end, from now."""
    idle_left_ms: int | None = None
    """Until it is stopped as idle, from now; None: it is not idle, or nobody knows."""
    closing: Reason | None = None
    """Why it gets no more than the grant it has; None: nothing stands against more."""


@dataclass(frozen=True)
class Stop:
    """When a lab will stop, from now, and why."""

    in_ms: int
    reason: Reason


def limit(lab: Running) -> tuple[int, Reason]:
    """Held time after which no grant can come, and why."""
    end = lab.held_ms + max(0, lab.to_end_ms)
    if lab.closing and lab.grant_ms < min(lab.limit_ms, end):
        return lab.grant_ms, lab.closing
    # A lab that began shortly before the cohort's end has that as its longest time, too.
    return (lab.limit_ms, "lab_max") if lab.limit_ms < end else (end, "cohort_end")


def extension(lab: Running, funds: Funds, window_ms: int) -> int:
    """Milliseconds to add to the grant now; 0 while half a window or more lies ahead."""
    if lab.grant_ms - lab.held_ms >= window_ms // 2:
        return 0
    target = min(lab.held_ms + window_ms, limit(lab)[0])
    return max(0, min(target - lab.grant_ms, ms_for(funds.least, lab.weight)))


def first_grant(weight: int, limit_ms: int, funds: Funds, window_ms: int) -> int:
    """Milliseconds granted at the start; 0 when there is not enough for a start."""
    grant = min(window_ms, limit_ms, ms_for(funds.least, weight))
    return grant if grant >= MIN_START_MS else 0


def forecast(lab: Running, funds: Funds, pool_weight: int, learner_weight: int) -> Stop:
    """When this lab will stop if everything goes on as it is.

    `pool_weight` and `learner_weight` are the weights of all running labs that draw on the pool and
    on the learner's cap, this one included: they share what is left.
    """
    paid = max(0, lab.grant_ms - lab.held_ms)
    until, reason = limit(lab)
    best = Stop(max(0, until - lab.held_ms), reason)
    pool = paid + ms_for(funds.pool, max(lab.weight, pool_weight))
    if pool < best.in_ms:
        best = Stop(pool, "budget")
    if funds.learner is not None:
        learner = paid + ms_for(funds.learner, max(lab.weight, learner_weight))
        if learner < best.in_ms:
            best = Stop(learner, "daily_cap" if funds.by_day else "learner_cap")
    if lab.idle_left_ms is not None and lab.idle_left_ms < best.in_ms:
        best = Stop(max(0, lab.idle_left_ms), "idle")
    return best


def idle_left(held_ms: int, idle_since_ms: int | None, idle_limit_ms: int) -> int | None:
    """Until an idle lab is stopped; None while it counts as in use.

    Half the limit is a pause to think: only the second half counts down and warns.
    """
    if idle_since_ms is None or idle_limit_ms == 0:
        return None
    left = idle_limit_ms - max(0, held_ms - idle_since_ms)
    return left if left * 2 <= idle_limit_ms else None


def warnings_due(left_ms: int, thresholds_ms: list[int], live: set[int]) -> list[int]:
    """The threshold to warn for now: the tightest one reached, unless it was given already.

    A lab that starts with three minutes left gets one warning, not three.
    """
    reached = [t for t in thresholds_ms if left_ms <= t]
    if not reached:
        return []
    tightest = min(reached)
    return [] if any(t <= tightest for t in live) else [tightest]


def warnings_void(left_ms: int, live: set[int]) -> set[int]:
    """Given warnings that no longer hold, because the stop moved away by more than a tenth."""
    return {t for t in live if left_ms * 10 > t * 11}
