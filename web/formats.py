"""Numbers, times and durations as the reader's language writes them (Babel).

Every function uses the language of the request (web.i18n). Templates have them as filters.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from babel import dates, numbers, units

from core.units import UNITS_PER_GPU_HOUR
from web import i18n

_STEPS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def number(value: float | Decimal | Fraction, digits: int = 0) -> str:
    """A number with at most `digits` digits after the point."""
    pattern = "#,##0" + ("." + "#" * digits if digits else "")
    exact = Decimal(value.numerator) / value.denominator if isinstance(value, Fraction) else value
    return str(numbers.format_decimal(exact, format=pattern, locale=i18n.language()))


def percent(value: float, digits: int = 0) -> str:
    """A share of 1 as per cent: 0.42 is "42%"."""
    pattern = "#,##0" + ("." + "#" * digits if digits else "") + "%"
    return str(numbers.format_percent(value, format=pattern, locale=i18n.language()))


def duration(seconds: float, parts: int = 2) -> str:
    """A duration in its `parts` largest units, rounded down: "3 hr 20 min", "3시간 20분"."""
    left = max(0, int(seconds))
    words: list[tuple[int, str]] = []
    for name, size in _STEPS:
        count, left = divmod(left, size)
        if count or (words and len(words) < parts and left):
            words.append((count, name))
        if len(words) == parts:
            break
    shown = [pair for pair in words if pair[0]] or [(0, "second")]
    return " ".join(_unit(count, name) for count, name in shown)


def gpu_hours(amount: int, digits: int = 1) -> str:
    """Ledger units (core.units) as GPU-hours without the unit's name: "12.5"."""
    return number(Fraction(amount, UNITS_PER_GPU_HOUR), digits)


def megabytes(value: int) -> str:
    """Whole MB as MB, or GB from 1024 MB on."""
    return f"{number(value / 1024, 1)} GB" if value >= 1024 else f"{number(value)} MB"


def moment(value: datetime, zone: str) -> str:
    """Date and time with its zone, in `zone` (IANA): "Dec 1, 2026 9:00 AM (KST)".

    Raises ValueError for a time without zone.
    """
    zone_name = _local(value, zone).tzname()
    return f"{day(value, zone)} {clock(value, zone)} ({zone_name})"


def day(value: datetime, zone: str) -> str:
    """The date in `zone`: "Dec 1, 2026", "2026. 12. 1."."""
    return str(dates.format_date(_local(value, zone), format="medium", locale=i18n.language()))


def clock(value: datetime, zone: str) -> str:
    """The time of day in `zone`, without seconds; in Korean by 24 hours."""
    language = i18n.language()
    # CLDR's short Korean form mixes in "AM"; 24 hours need no word at all.
    pattern = "HH:mm" if language == "ko" else "short"
    return str(dates.format_time(_local(value, zone), format=pattern, locale=language))


def _local(value: datetime, zone: str) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time on a page needs a zone")
    return value.astimezone(ZoneInfo(zone))


def _unit(count: int, name: str) -> str:
    return str(units.format_unit(count, f"duration-{name}", length="short", locale=i18n.language()))
