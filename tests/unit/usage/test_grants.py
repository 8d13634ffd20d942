"""How far a grant goes, when a lab will stop and why, which warning is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import WHOLE
from usage import grants
from usage.grants import Funds, Running, Stop

HOUR = 3_600_000
WINDOW = 300_000


def lab(**change) -> Running:
    given = {
        "held_ms": 0,
        "grant_ms": WINDOW,
        "limit_ms": 4 * HOUR,
        "weight": WHOLE,
        "to_end_ms": 100 * HOUR,
        **change,
    }
    return Running(**given)


times = st.integers(0, 10 * HOUR)
labs = st.builds(
    Running,
    held_ms=times,
    grant_ms=times,
    limit_ms=times,
    weight=st.sampled_from([105, 120, 360, WHOLE]),
    to_end_ms=st.integers(-HOUR, 10 * HOUR),
)
money = st.builds(
    Funds, pool=st.integers(-(10**9), 10**11), learner=st.none() | st.integers(-(10**9), 10**11)
)


@given(labs, money)
def test_an_extension_is_paid_for_and_passes_no_limit(running: Running, funds: Funds) -> None:
    extra = grants.extension(running, funds, WINDOW)
    assert extra >= 0
    assert extra * running.weight <= funds.least
    if extra:
        assert running.grant_ms + extra <= grants.limit(running)[0]
        assert running.grant_ms + extra - running.held_ms <= WINDOW


@given(labs, money)
def test_a_forecast_is_never_before_the_grant_unless_a_limit_is(
    running: Running, funds: Funds
) -> None:
    stop = grants.forecast(running, funds, running.weight, running.weight)
    assert stop.in_ms >= 0
    until = min(grants.limit(running)[0] - running.held_ms, running.grant_ms - running.held_ms)
    assert stop.in_ms >= max(0, until)


def test_each_reason() -> None:
    rich = Funds(10**12)
    assert grants.forecast(lab(), rich, WHOLE, WHOLE) == Stop(4 * HOUR, "lab_max")
    assert grants.forecast(lab(to_end_ms=HOUR), rich, WHOLE, WHOLE) == Stop(HOUR, "cohort_end")
    assert grants.forecast(lab(), Funds(HOUR * WHOLE), WHOLE, WHOLE) == Stop(
        HOUR + WINDOW, "budget"
    )
    assert grants.forecast(lab(), Funds(10**12, 0), WHOLE, WHOLE) == Stop(WINDOW, "learner_cap")


def test_labs_of_a_cohort_share_what_is_left() -> None:
    four = grants.forecast(lab(), Funds(HOUR * WHOLE), 4 * WHOLE, WHOLE)
    assert four == Stop(HOUR // 4 + WINDOW, "budget")


@pytest.mark.parametrize(
    ("left_minutes", "given_minutes", "due"),
    [
        (40, [], []),
        (30, [], [30]),
        (29, [30], []),
        (9, [30], [10]),
        (9, [30, 10], []),
        (1, [30, 10], [2]),
        (1, [], [2]),
        (9, [2], []),
    ],
)
def test_which_warning_is_due(left_minutes, given_minutes, due) -> None:
    ms = 60_000
    found = grants.warnings_due(
        left_minutes * ms, [2 * ms, 10 * ms, 30 * ms], {m * ms for m in given_minutes}
    )
    assert found == [m * ms for m in due]


def test_a_top_up_withdraws_warnings() -> None:
    assert grants.warnings_void(600_000, {120_000, 600_000}) == {120_000}
    assert grants.warnings_void(3_600_000, {120_000, 600_000}) == {120_000, 600_000}


def test_a_start_needs_a_few_seconds() -> None:
    assert grants.first_grant(WHOLE, HOUR, Funds(4_999 * WHOLE), WINDOW) == 0
    assert grants.first_grant(WHOLE, HOUR, Funds(5_000 * WHOLE), WINDOW) == 5_000
    assert grants.first_grant(WHOLE, HOUR, Funds(10**12), WINDOW) == WINDOW
