"""When a pool runs out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.units import UNITS_PER_GPU_HOUR as HOUR
from usage.forecast import Movement, Pace, chart, outlook

START = datetime(2026, 11, 2, tzinfo=UTC)
NOW = START + timedelta(days=10)
END = START + timedelta(days=30)


def history(*charges: tuple[float, float]) -> list[Movement]:
    """A grant of 100 hours, then charges as (day, hours); below zero: a refund."""
    used = [
        Movement(
            START + timedelta(days=day), "charge" if hours > 0 else "refund", -int(hours * HOUR)
        )
        for day, hours in charges
    ]
    return [Movement(START, "grant", 100 * HOUR), *used]


@pytest.mark.parametrize(
    ("pace", "per_day", "days"),
    [("week", 10, 3.0), ("start", 7, None)],
)
def test_paces(pace: Pace, per_day: int, days: float | None) -> None:
    """70 hours in ten days, all of them in the last seven."""
    used = history((0, 0.001), *((day, 10) for day in (3.5, 4, 5, 6, 7, 8, 9)))
    seen = outlook(used, END, NOW, pace)
    assert round(seen.per_day / HOUR) == per_day
    assert seen.runs_out is not None
    left = (seen.runs_out - NOW).total_seconds() / 86400
    assert left == pytest.approx(days or 30 / 7, rel=0.01)


def test_refunds_slow_the_pace() -> None:
    with_refund = outlook(history((4, 70), (5, -35)), END, NOW, "week")
    without = outlook(history((4, 70)), END, NOW, "week")
    assert with_refund.per_day * 2 == without.per_day


def test_enough_for_the_whole_time() -> None:
    seen = outlook(history((4, 6)), END, NOW, "week")
    assert seen.runs_out is None
    assert seen.at_end == 94 * HOUR - 20 * HOUR


@pytest.mark.parametrize(
    ("used", "now", "since", "at_end"),
    [
        ([], NOW, None, None),
        ([(9.5, 5)], NOW, None, None),
        ([(1, 5)], END + timedelta(days=1), "yes", None),
        ([(1, 5)], NOW, "yes", 95 * HOUR),
    ],
    ids=["nothing used", "less than a day", "over", "nothing in the last week"],
)
def test_when_nobody_can_say(used: list, now: datetime, since: str | None, at_end: int) -> None:
    seen = outlook(history(*used), END, now, "week")
    assert (seen.since is not None, seen.at_end) == (since is not None, at_end)
    assert seen.runs_out is None


def test_an_empty_or_overdrawn_pool_has_run_out_now() -> None:
    assert outlook(history((2, 105)), END, NOW, "start").runs_out == NOW


def test_the_chart_goes_on_with_the_forecast() -> None:
    used = history(*((day / 100, 0.01) for day in range(400, 1000)))
    shown = chart(used, outlook(used, END, NOW, "week"))
    assert len(shown.times) == len(shown.left) == len(shown.expected) <= 205
    assert shown.times[-1] == END
    assert shown.left[0] == 100
    assert shown.left[-1] is None
    assert shown.expected[-2] == shown.left[-2]
    assert (shown.expected[-1] or 0) < (shown.expected[-2] or 0)
    assert chart([], outlook([], END, NOW, "week")).times == []
