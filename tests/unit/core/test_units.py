"""GPU-time units are exact integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import (
    UNITS_PER_GPU_HOUR,
    WHOLE,
    gpu_hours,
    gpu_seconds,
    ms_for,
    units,
    weight_of,
)


@pytest.mark.parametrize("share", range(1, 9))
def test_every_mig_slice_and_seat_up_to_eight_is_exact(share: int) -> None:
    assert weight_of(1, share) * share == WHOLE


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 9), (0, 7), (-1, 7), (1, 0)])
def test_a_share_that_cannot_be_exact_is_refused(numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError, match="GPU"):
        weight_of(numerator, denominator)


def test_gpu_hours_typed_by_a_person() -> None:
    assert gpu_hours("1") == UNITS_PER_GPU_HOUR == units(3_600_000, WHOLE)
    assert gpu_hours(" 12.5 ") == 12 * UNITS_PER_GPU_HOUR + UNITS_PER_GPU_HOUR // 2
    for text in ("a lot", "1e999999999", "1/3", "", "nan"):
        with pytest.raises(ValueError, match="not a plain decimal number"):
            gpu_hours(text)


@given(amount=st.integers(0, 2**62), weight=st.integers(1, 16 * WHOLE))
def test_time_bought_never_costs_more_than_the_amount(amount: int, weight: int) -> None:
    held = ms_for(amount, weight)
    assert units(held, weight) <= amount < units(held + 1, weight)


def test_negative_held_time_is_refused_and_debt_buys_nothing() -> None:
    with pytest.raises(ValueError, match="held_ms"):
        units(-1, WHOLE)
    assert ms_for(-5, WHOLE) == 0
    assert gpu_seconds(units(1500, WHOLE)) * 2 == 3
