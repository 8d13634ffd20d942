"""What people type into the admin pages, turned into the service's values. Pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from core.units import UNITS_PER_GPU_HOUR, gpu_hours
from core.wire import Isolation
from usage import ledger
from usage.client import CohortSpec
from usage.models import Cohort
from usage.refusals import No

_FIELDS: dict[str, tuple[str, ...]] = {
    "allowance": ("allowance_hours",),
    "amount_absurd": ("hours",),
    "amount_not_positive": ("hours",),
    "amount_unreadable": ("hours",),
    "code_form": ("code",),
    "code_taken": ("code",),
    "cohort_exists": ("id",),
    "cohort_id": ("id",),
    "cohort_name": ("name",),
    "cohort_order": ("ends", "starts"),
    "confirm_name": ("again",),
    "correction_too_large": ("hours",),
    "course_not_offered": ("prestart",),
    "course_unknown": ("courses",),
    "daily_cap": ("daily_hours",),
    "day_unreadable": ("until", "since"),
    "entry_kind": ("kind",),
    "learner_cap": ("learner_hours",),
    "person_unknown": ("username",),
    "reason_missing": ("reason",),
    "refund_amount": ("hours",),
    "role_unknown": ("role",),
    "username_bad": ("username",),
    "window_outside": ("starts",),
    "window_overlaps": ("starts",),
    "window_time": ("ends",),
    "window_too_large": ("seats",),
    "zone_unknown": ("timezone",),
}
"""Fields that a refusal is about: by its code, or by the name that the service has for the value.
Where there are several, the form's own counts."""


def field_of(no: No, typed: Container[str]) -> str:
    """The field that `no` is about in a form with the fields `typed`; empty: none of them."""
    named = str(no.details.get("field", ""))
    candidates = (named, *_FIELDS.get(named, ()), *_FIELDS.get(no.code, ()))
    return next((name for name in candidates if name and name in typed), "")


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
    grant_hours: str = ""
    """GPU-hours for the new pool."""
    copied_from: str = ""
    staff: bool = False
    """Take the staff of `copied_from` over."""


class AboutForm(BaseModel):
    """The form for what a cohort is; its limits have a form of their own."""

    name: str = ""
    organisation: str = ""
    starts: str = ""
    courses: list[str] = []


class RefundForm(BaseModel):
    """The form for a refund of a lab; no hours: all it was charged."""

    lease: str = ""
    hours: str = ""
    reason: str = ""
    key: str = ""


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
        learner_cap=optional_hours(form.learner_hours, "learner_hours"),
        daily_cap=optional_hours(form.daily_hours, "daily_hours"),
        max_gpu_labs=_whole(form.max_gpu_labs, "max_gpu_labs"),
        allowance=optional_hours(form.allowance_hours, "allowance_hours", least=0) or 0,
    )


def limits(form: LimitsForm, now: CohortSpec) -> CohortSpec:
    """The cohort with these limits; all else stays. Raises No for what cannot be read."""
    return replace(
        now,
        ends=_moved(form.ends, now.ends, now.timezone),
        lab_max_minutes=_whole(form.lab_max_minutes, "lab_max_minutes"),
        learner_cap=optional_hours(form.learner_hours, "learner_hours"),
        daily_cap=optional_hours(form.daily_hours, "daily_hours"),
        max_gpu_labs=_whole(form.max_gpu_labs, "max_gpu_labs"),
    )


def about(form: AboutForm, now: CohortSpec) -> CohortSpec:
    """The cohort with this name, organisation, beginning and courses; all else stays."""
    return replace(
        now,
        name=form.name,
        organisation=form.organisation,
        starts=_moved(form.starts, now.starts, now.timezone),
        courses=form.courses,
    )


def _moved(typed: str, now: str, zone: str) -> str:
    """The moment typed; `now` where the field is as it was filled in, which has no seconds."""
    same = not typed.strip() or typed.strip() == local(datetime.fromisoformat(now), zone)
    return now if same else with_zone(typed, zone)


def about_of(row: Cohort) -> AboutForm:
    """The form as the cohort is now."""
    starts = local(row.starts_at, row.timezone)
    return AboutForm(
        name=row.name, organisation=row.organisation, starts=starts, courses=list(row.courses)
    )


def limits_of(row: Cohort) -> LimitsForm:
    """The form as the cohort is now; what instructors may still grant stays empty."""
    spent = row.lab_max_ms
    return LimitsForm(
        ends=local(row.ends_at, row.timezone),
        lab_max_minutes=_shown(None if spent is None else spent // 60_000),
        learner_hours=_shown_hours(row.learner_cap),
        daily_hours=_shown_hours(row.daily_cap),
        max_gpu_labs=_shown(row.max_gpu_labs),
    )


def copy_of(spec: CohortSpec, granted: int) -> CohortForm:
    """The form for a new cohort like this one: another name, id and time are still to be given.

    `granted`: units in its pool.
    """
    return CohortForm(
        organisation=spec.organisation,
        timezone=spec.timezone,
        courses=list(spec.courses),
        lab_max_minutes=_shown(spec.lab_max_minutes),
        learner_hours=_shown_hours(spec.learner_cap),
        daily_hours=_shown_hours(spec.daily_cap),
        max_gpu_labs=_shown(spec.max_gpu_labs),
        allowance_hours=_shown_hours(spec.allowance or None),
        grant_hours=_shown_hours(granted or None),
        copied_from=spec.id,
    )


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


def _shown_hours(units: int | None) -> str:
    """GPU-hours as `hours` reads them back exactly: rounded up at a digit far below one unit."""
    if units is None:
        return ""
    digits = -(-units * 10**12 // UNITS_PER_GPU_HOUR)
    whole_part, rest = divmod(digits, 10**12)
    return f"{whole_part}.{rest:012}".rstrip("0").rstrip(".")


def local(moment: datetime, zone: str) -> str:
    """A moment as a browser's field for date and time takes it, in `zone`."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


def day_start(text: str, zone: str) -> datetime | None:
    """The beginning of a day such as 2027-03-31 in `zone`; None for an empty text. Raises No."""
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise No("day_unreadable", value=text.strip()) from None
    if not 2000 <= day.year <= 2200:
        raise No("day_unreadable", value=text.strip())
    return datetime.combine(day, time(), ZoneInfo(zone))


def day_end(text: str, zone: str) -> datetime | None:
    """The end of a day in `zone`; None for an empty text. Raises No."""
    begin = day_start(text, zone)
    return begin and datetime.combine(begin.date() + timedelta(days=1), time(), ZoneInfo(zone))


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
        raise No("number_unreadable", field=field, value=text.strip()) from None


LONGEST_REASON = 900
"""Characters of a reason."""


def given(reason: str) -> str:
    """A reason as typed. Raises No when it says nothing, or tells a story."""
    text = reason.strip()
    if not text:
        raise No("reason_missing")
    if len(text) > LONGEST_REASON:
        raise No("text_long", field="reason", most=LONGEST_REASON, length=len(text))
    return text


def optional_hours(text: str, field: str = "hours", least: int = 1) -> int | None:
    """Units for GPU-hours as typed; None for an empty text. Raises No naming the field."""
    if not text.strip():
        return None
    amount = hours(text, field)
    if amount < least:
        raise No("amount_not_positive" if least else "amount_negative", field=field)
    return amount


def hours(text: str, field: str = "hours") -> int:
    """Units for GPU-hours as typed, also with a thousands separator. Raises No."""
    try:
        amount = gpu_hours(text.replace(",", ""))
    except ValueError:
        raise No("amount_unreadable", field=field, value=text.strip()) from None
    if abs(amount) > ledger.LARGEST:
        raise No("amount_absurd", field=field)
    return amount
