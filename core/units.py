"""Integer units of GPU time.

The ledger never holds a float. One *unit* is one millisecond of 1/840 of a GPU: 840 is the least
common multiple of 1..8, so that a MIG slice of seven and a time-slice seat of up to eight are
exact. 2**63 units are about 3 billion GPU-hours.
"""

from __future__ import annotations

import re
from fractions import Fraction

WHOLE = 840
"""Weight of one whole GPU. A slot's weight is an integer share of this."""

MS_PER_HOUR = 3_600_000
UNITS_PER_GPU_HOUR = WHOLE * MS_PER_HOUR


def weight_of(numerator: int, denominator: int) -> int:
    """Weight of `numerator/denominator` of a GPU, in 1/840.

    Raises ValueError when the share is not positive or not a whole number of 1/840.
    """
    if numerator <= 0 or denominator <= 0:
        raise ValueError(f"a share of a GPU must be positive, not {numerator}/{denominator}")
    weight, rest = divmod(numerator * WHOLE, denominator)
    if rest:
        raise ValueError(f"{numerator}/{denominator} of a GPU is not a whole number of 1/{WHOLE}")
    return weight


def units(held_ms: int, weight: int) -> int:
    """Units for holding a slot of `weight` (1/840 GPU) for `held_ms` milliseconds."""
    if held_ms < 0 or weight <= 0:
        raise ValueError(f"held_ms must be >= 0 and weight > 0, not {held_ms} and {weight}")
    return held_ms * weight


def ms_for(amount: int, weight: int) -> int:
    """Whole milliseconds that `amount` units buy on a slot of `weight`; rounds down."""
    return max(0, amount) // weight


def gpu_hours(text: str) -> int:
    """Units for a decimal number of GPU-hours typed by a person, for example ``"12.5"``.

    Raises ValueError for anything that is not a plain decimal number: 1e999999999 would be worked
    out for hours.
    """
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,20}(\.[0-9]{0,20})?\s*", text):
        raise ValueError("not a plain decimal number")
    return int(Fraction(text.strip()) * UNITS_PER_GPU_HOUR)


def gpu_seconds(amount: int) -> Fraction:
    """Units as exact seconds of a whole GPU."""
    return Fraction(amount, WHOLE * 1000)
