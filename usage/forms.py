"""What people type into the admin pages, turned into the service's values. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from core.units import gpu_hours
from core.wire import Isolation
from usage.client import CohortSpec
from usage.refusals import No


class CohortForm(BaseModel):
    """The form for a new cohort, as typed."""

    id: str = ""
    name: str = ""
    organisation: str = ""
    starts: str = ""
    ends: str = ""
    timezone: str = "Asia/Seoul"
    courses: list[str] = []
    lab_max_minutes: str = ""
    learner_hours: str = ""
    daily_hours: str = ""
    max_gpu_labs: str = ""
    allowance_hours: str = ""


class LimitsForm(BaseModel):
    """The form for a cohort's end and limits; empty fields mean: no limit of its own."""

    ends: str = ""
    lab_max_minutes: str = ""
    learner_hours: str = ""
    daily_hours: str = ""
    max_gpu_labs: str = ""
    allowance_hours: str = ""


class WindowForm(BaseModel):
    """The form for a reserved window."""

    starts: str = ""
    ends: str = ""
    seats: str = ""
    isolation: Isolation = "mig"
    prestart: str = ""
    """course/lab to start for its learners before it begins."""


class BookingForm(BaseModel):
    """The form for an entry of the ledger; `key` was made with the page and books once."""

    kind: str = ""
    hours: str = ""
    reason: str = ""
    key: str = ""


class CodeForm(BaseModel):
    """The form for an event code."""

    code: str = ""
    seats: str = ""
    expires: str = ""
    role: str = "trainee"


class MemberForm(BaseModel):
    """The form for a member."""

    username: str = ""
    name: str = ""
    role: str = "trainee"


def cohort_spec(form: CohortForm) -> CohortSpec:
    """The cohort that was meant. Raises No for what cannot be read."""
    return CohortSpec(
        id=form.id.strip(),
        name=form.name,
        organisation=form.organisation,
        starts=with_zone(form.starts, form.timezone),
        ends=with_zone(form.ends, form.timezone),
        timezone=form.timezone.strip(),
        courses=form.courses,
        lab_max_minutes=_whole(form.lab_max_minutes, "lab_max_minutes"),
        learner_cap=_hours(form.learner_hours),
        daily_cap=_hours(form.daily_hours),
        max_gpu_labs=_whole(form.max_gpu_labs, "max_gpu_labs"),
        allowance=_hours(form.allowance_hours) or 0,
    )


def limits(form: LimitsForm, now: CohortSpec) -> CohortSpec:
    """The cohort with these limits; all else stays. Raises No for what cannot be read."""
    return replace(
        now,
        ends=with_zone(form.ends, now.timezone) or now.ends,
        lab_max_minutes=_whole(form.lab_max_minutes, "lab_max_minutes"),
        learner_cap=_hours(form.learner_hours),
        daily_cap=_hours(form.daily_hours),
        max_gpu_labs=_whole(form.max_gpu_labs, "max_gpu_labs"),
    )


def with_zone(local: str, zone: str) -> str:
    """A date and time as a browser's field sends it, in `zone`; what it cannot read stays as is."""
    try:
        value = datetime.fromisoformat(local.strip())
        if value.tzinfo is None:
            value = value.replace(tzinfo=ZoneInfo(zone.strip()))
    except (ValueError, OSError, KeyError):
        return local.strip()
    return value.isoformat()


def _whole(text: str, field: str) -> int | None:
    return whole(text, field) if text.strip() else None


def whole(text: str, field: str) -> int:
    """A whole number. Raises No."""
    try:
        return int(text.strip())
    except ValueError:
        raise No("number_unreadable", field=field, value=text[:40]) from None


def _hours(text: str) -> int | None:
    return hours(text) if text.strip() else None


def hours(text: str) -> int:
    """Units for GPU-hours as typed, also with a thousands separator. Raises No."""
    try:
        return gpu_hours(text.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        raise No("amount_unreadable", value=text[:40]) from None
