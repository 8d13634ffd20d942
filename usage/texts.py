"""Every sentence the usage service says, in the language of the request (web.i18n)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from core.i18n import LANGUAGES
from core.units import gpu_seconds
from core.wire import Refusal
from usage.refusals import No
from usage.roster import texts as roster
from web import formats, i18n
from web.i18n import gettext as _

LOCALE = Path(__file__).parent / "locale"

_LONGEST = 80
"""Characters of what was typed that a sentence repeats."""

_TYPED = ("value", "username", "code", "course", "cohort", "kind", "role")


class Said(Exception):
    """A refusal with its sentence, on its way to the caller as 409."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@contextmanager
def speaking(language: str, zone: str) -> Iterator[None]:
    """Turn a No inside into Said, in `language`; times are shown in `zone`."""
    if language in LANGUAGES:
        i18n.use(language, (LOCALE,))
    try:
        yield
    except No as no:
        raise Said(refusal(no, zone)) from no


def refusal(no: No, zone: str) -> Refusal:
    """The wire shape of `no`, with its sentence."""
    details = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in no.details.items()}
    return Refusal(no.code, sentence(no, zone), details)


def sentence(no: No, zone: str) -> str:
    """`no` as a sentence. A code without a sentence is a fault of ours and raises KeyError."""
    values = {"position": 1, "wait_seconds": _readable("wait_seconds", 0, zone)}
    values |= {key: _readable(key, value, zone) for key, value in no.details.items()}
    return _sentences()[no.code] % values


def gpu_time(units: int) -> str:
    """Units as a duration of a whole GPU: "3 hr 20 min"."""
    return formats.duration(float(gpu_seconds(max(0, units))))


def exact_seconds(units: int) -> str:
    """Units as seconds of a whole GPU, to the tenth: what a charge is checked with."""
    return formats.number(gpu_seconds(units), 1)


def words(code: str) -> str:
    """Roles, kinds of entries and states of leases in words."""
    return {
        "trainee": _("Trainee"),
        "assistant": _("Assistant"),
        "instructor": _("Instructor"),
        "admin": _("Cohort administrator"),
        "grant": _("Grant"),
        "top-up": _("Top-up"),
        "correction": _("Correction"),
        "refund": _("Refund"),
        "charge": _("Charge"),
        "reserved": _("Starting"),
        "active": _("Running"),
        "ended": _("Ended"),
    }.get(code, code)


def field_name(field: str) -> str:
    """A field of a form as its label says it; one without a label as it is."""
    return {
        "starts": _("Begins"),
        "ends": _("Ends"),
        "expires": _("Valid until"),
        "seats": _("Seats"),
        "name": _("Name"),
        "timezone": _("Time zone"),
        "allowance": _("GPU-hours that instructors may still grant"),
        "organisation": _("Organisation"),
        "reason": _("Reason"),
        "lab_max_minutes": _("Longest GPU lab in minutes"),
        "max_gpu_labs": _("GPU labs at the same time"),
        "courses": _("Courses"),
        "learner_cap": _("GPU-hours that one learner may use"),
        "daily_cap": _("GPU-hours that one learner may use in a day"),
    }.get(field, field)


def _readable(key: str, value: Any, zone: str) -> Any:
    if isinstance(value, datetime):
        return formats.moment(value, zone)
    said: dict[str, Callable[[Any], Any]] = {
        "field": field_name,
        "left": gpu_time,
        "whom": lambda whom: whom or _("the organiser"),
        "wait_seconds": formats.duration,
        "reason": reason,
    }
    if key in said:
        return said[key](value)
    return _short(value) if key in _TYPED else value


def _short(value: Any) -> Any:
    """Somebody may have pasted a whole page into a field."""
    text = str(value)
    return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else value


def _sentences() -> dict[str, str]:
    return _start_sentences() | _people_sentences() | _form_sentences() | roster.sentences()


def _start_sentences() -> dict[str, str]:
    """Why a lab does not start."""
    return {
        "budget_used": _(
            "The GPU time of %(cohort)s is used up or set aside for running labs (%(left)s left). "
            "You can start without a GPU, or ask your instructor for more."
        ),
        "learner_cap_used": _(
            "Your own share of the GPU time of %(cohort)s is used up (%(left)s left). "
            "You can start without a GPU, or ask your instructor for more."
        ),
        "daily_cap_used": _(
            "Your share of today's GPU time of %(cohort)s is used up (%(left)s left). You can "
            "start without a GPU today, or with one tomorrow."
        ),
        "cohort_busy": _(
            "%(cohort)s runs its %(limit)s GPU labs already. You are number %(position)s in the "
            "queue; it is your turn in %(wait_seconds)s at the latest. Your home page shows your "
            "place and tells you then. You can start without a GPU meanwhile."
        ),
        "gpu_none": _("No GPU is connected to the platform right now. Start without a GPU."),
        "gpu_unfit": _(
            "The platform has no GPU of the kind this lab needs. Start without a GPU, "
            "and tell your instructor."
        ),
        "gpu_full": _(
            "All GPUs that this lab can use are busy. You are number %(position)s in the queue; "
            "one is free for you in %(wait_seconds)s at the latest. Your home page shows your "
            "place and tells you then. You can start without a GPU meanwhile."
        ),
        "not_enrolled": _("You are not a member of %(cohort)s. Ask your instructor."),
        "cohort_unknown": _("There is no cohort %(cohort)s. Choose one of those listed."),
        "course_not_offered": _("%(cohort)s does not offer the course %(course)s."),
        "cohort_not_started": _("%(cohort)s begins on %(at)s. Labs start from then on."),
        "cohort_ended": _("%(cohort)s ended on %(at)s; its GPU time can no longer be used."),
        "starts_fail": _(
            "Your last %(count)s starts held a GPU and did not come up. Start without a GPU, or "
            "with one again on %(at)s; if you do not know why, tell your instructor."
        ),
        "lease_ended": _("This lab has ended (%(reason)s). Start it again."),
        "lease_unknown": _("There is no lease %(lease)s."),
        "held_negative": _("A held time cannot be negative (%(held_ms)s ms)."),
        "gpu_unknown": _("No machine ever reported a GPU %(gpu)s. Copy the id from the list."),
        "slot_mode": _("%(mode)s is not possible for a GPU: %(known)s."),
        "slot_host": _("Slot %(slot)s does not belong to host %(host)s."),
        "slot_bad": _("Slot %(slot)s has no weight, a negative memory size, or is named twice."),
    }


def _people_sentences() -> dict[str, str]:
    """Event codes, members and requests."""
    return {
        "code_wrong": _("This event code is not known. Check it letter by letter."),
        "code_expired": _("This event code for %(cohort)s expired on %(at)s. Ask %(whom)s."),
        "code_full": _(
            "All %(seats)s seats of this event code for %(cohort)s are taken. Ask %(whom)s."
        ),
        "name_taken": _("This user name is already taken. Please choose another one."),
        "name_rostered": _(
            "This user name stands on the list of %(cohort)s with another e-mail address. Use the "
            "e-mail address that your organiser has of you, or ask %(whom)s."
        ),
        "consent_missing": _("Without your consent to “%(item)s” no account can be created."),
        "consent_changed": _("The text about your data has changed. Read it again and answer."),
        "code_form": _(
            "An event code has 5 to 40 letters A-Z, digits and hyphens, and begins and ends with a "
            "letter or digit."
        ),
        "code_taken": _("The event code %(code)s belongs to another cohort. Choose another."),
        "role_unknown": _("There is no role %(role)s here. Possible: %(known)s."),
        "username_bad": _(
            "%(value)s cannot be a user name: 1 to 200 characters, no slash, no control "
            "characters, no blank at either end."
        ),
        "person_unknown": _("Nobody here has the user name %(username)s."),
        "person_has_lab": _("%(username)s has a running GPU lab. Stop it first."),
        "confirm_name": _("Type the user name %(username)s once more to confirm."),
        "no_cohort": _("You are in no open cohort whose GPU time could be raised."),
        "request_pending": _("You have asked already. Your instructor has not answered yet."),
        "request_unknown": _("This request does not exist or is decided already."),
        "no_gpu_lab": _("%(username)s has no running GPU lab that could get more time."),
        "announcement_empty": _("Write what you want to tell everybody."),
        "announcement_long": _(
            "An announcement has at most %(most)s characters; this one has %(length)s."
        ),
        "announcement_unknown": _("There is no such announcement in this class."),
        "allowance_used": _(
            "Your allowance for granting GPU time is used up (%(left)s left). Ask an administrator."
        ),
    }


def _form_sentences() -> dict[str, str]:
    """Values that cannot be."""
    return {
        "amount_not_positive": _("The amount must be more than zero (a correction may be less)."),
        "amount_negative": _("The amount cannot be less than zero."),
        "amount_absurd": _("This amount is too large to be meant. At most 330,000 GPU-hours."),
        "amount_unreadable": _("%(value)s is not a number of GPU-hours. Write for example 12.5."),
        "correction_too_large": _(
            "A correction cannot take back what is used or set aside. At most %(left)s can go."
        ),
        "entry_kind": _("%(kind)s is no kind of entry: grant, top-up or correction."),
        "reason_missing": _("Give a reason; it stays in the ledger."),
        "refund_open": _("This lab still runs. Refund it when it has ended."),
        "refund_amount": _("A refund can be at most what the lease %(lease)s was charged."),
        "day_unreadable": _("%(value)s is not a day. Write for example 2027-03-31."),
        "time_missing": _("%(field)s: give a date and a time."),
        "time_unreadable": _(
            "%(field)s: “%(value)s” is not a time of the years 2000 to 2200. Write for example "
            "2026-12-01T09:00+09:00."
        ),
        "time_without_zone": _(
            "%(field)s: “%(value)s” needs a time zone, for example 2026-12-01T09:00+09:00."
        ),
        "text_long": _("%(field)s: at most %(most)s characters; these are %(length)s."),
        "window_time": _(
            "A reserved window must end after it begins, last 7 days at most, and not be over yet."
        ),
        "window_outside": _("A reserved window must lie between begin and end of %(cohort)s."),
        "window_overlaps": _("%(cohort)s has a reserved window at that time already."),
        "window_too_large": _(
            "%(seats)s places cannot be reserved then: windows at the same time leave %(places)s "
            "of the GPUs that are connected now."
        ),
        "window_unknown": _("This reserved window does not exist."),
        "cohort_order": _("The end of a cohort must come after its start."),
        "cohort_exists": _("There is a cohort %(cohort)s already. Choose another short id."),
        "cohort_id": _(
            "“%(value)s” cannot be a cohort's id: 1 to 40 of a-z, 0-9 and hyphens, with a letter "
            "or digit at both ends."
        ),
        "cohort_name": _("A cohort needs a name."),
        "zone_unknown": _("%(value)s is not a time zone. Write for example Asia/Seoul."),
        "course_unknown": _("There is no course %(course)s. Known: %(known)s."),
        "number_unreadable": _("%(field)s: “%(value)s” is not a whole number."),
        "number_out_of_range": _("%(field)s must be from %(least)s to %(most)s, not %(value)s."),
    }


def reason(code: str) -> str:
    """Why a lab stops or stopped, in words; a text that is no code is shown as it is."""
    return {
        "lab_max": _("longest lab time"),
        "cohort_end": _("end of the cohort"),
        "budget": _("the cohort's GPU time is used up"),
        "learner_cap": _("your share of the GPU time is used up"),
        "daily_cap": _("your share of today's GPU time is used up"),
        "idle": _("nothing has been computed for a while"),
        "unused": _("prepared for you and not opened; free"),
        "start_failed": _("the lab did not start"),
        "lab_unknown": _("the course has no such lab any more"),
        "gpu_off": _("its GPU is taken out of service"),
        "removed": _("no longer a member of the cohort"),
        "lost_host": _("lost contact with the GPU machine"),
        "lab_ended": _("lab ended"),
        "stopped": _("stopped"),
        "graded": _("graded"),
        "grading failed": _("grading failed"),
        "start_timeout": _("did not start in time; free"),
        "start_abandoned": _("start given up; free"),
    }.get(code, code)


def warning(code: str, left_seconds: int) -> str:
    """The warning before a stop: when, why and what can be done."""
    time = formats.duration(left_seconds)
    text = {
        "lab_max": _(
            "This lab stops in %(time)s: it reaches the longest time one lab may run. Save your "
            "work; you can start it again."
        ),
        "cohort_end": _(
            "This lab stops in %(time)s: your cohort ends then. Save your work and download what "
            "you want to keep."
        ),
        "budget": _(
            "This lab stops in %(time)s: your cohort's GPU time is nearly used up. Save your work, "
            "ask for more, or go on without a GPU."
        ),
        "learner_cap": _(
            "This lab stops in %(time)s: your share of GPU time is nearly used up. Save your work, "
            "ask for more, or go on without a GPU."
        ),
        "daily_cap": _(
            "This lab stops in %(time)s: today's share of GPU time is nearly used up. Save your "
            "work; go on tomorrow, or without a GPU."
        ),
        "gpu_off": _(
            "This lab stops in %(time)s: its GPU is taken out of service. Save your work; you can "
            "start it again on another GPU."
        ),
        "removed": _(
            "This lab stops in %(time)s: you are no longer a member of its cohort. Save your work "
            "and download what you want to keep."
        ),
        "idle": _(
            "This lab stops in %(time)s: nothing was computed for a while, and others may need the "
            "GPU. Run a cell to keep it."
        ),
    }
    return text[code] % {"time": time}
