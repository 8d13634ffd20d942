"""The usage service's audit log: who did what to whom or what, and why (see store.audit)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import audit
from usage import texts
from usage.leases import Clock
from usage.models import Base
from usage.roster import texts as roster
from web import formats
from web.i18n import gettext as _

PLATFORM = "platform"
"""The actor of what happens by itself."""


class AuditRow(audit.AuditColumns, Base):
    """One act."""


def noted_since(
    session: Session, since: datetime, actor: str, action: str, scope: str, target: str
) -> bool:
    """Whether this very act was written down at or after `since`."""
    query = select(AuditRow.id).where(
        AuditRow.actor == actor,
        AuditRow.at >= since,
        AuditRow.action == action,
        AuditRow.scope == scope,
        AuditRow.target == target,
    )
    return session.scalar(query.limit(1)) is not None


def note(
    session: Session,
    time: Clock,
    actor: str,
    action: str,
    scope: str = "",
    target: str = "",
    reason: str = "",
    **details: Any,
) -> None:
    """Write an act down, in the transaction of the act. See store.audit.AuditColumns."""
    session.add(audit.entry(AuditRow, time.now(), actor, action, scope, target, reason, **details))


def words(action: str) -> str:
    """An action in words; one that has none is shown as its code."""
    return {
        "budget.correction": _("Corrected GPU time"),
        "budget.grant": _("Granted GPU time"),
        "budget.refund": _("Refunded GPU time"),
        "budget.top-up": _("Topped GPU time up"),
        "code.put": _("Set an event code"),
        "cohort.allowance": _("Set what instructors may grant"),
        "cohort.change": _("Changed a cohort"),
        "cohort.create": _("Created a cohort"),
        "cohort.export": _("Exported a report"),
        "expected.enrol": _("Enrolled somebody of a roster"),
        "expected.remove": _("Took somebody off a roster"),
        "gpu.disabled": _("Disabled a GPU"),
        "gpu.drained": _("Drained a GPU"),
        "gpu.open": _("Opened a GPU"),
        "lab.stop": _("Stopped a lab"),
        "lab.restart": _("Restarted a lab"),
        "lab.extend": _("Extended a lab"),
        "lab.prestart": _("Started labs ahead"),
        "announcement.send": _("Sent an announcement"),
        "announcement.withdraw": _("Took an announcement back"),
        "member.enrol": _("Enrolled a person"),
        "member.remove": _("Removed a person"),
        "people.read": _("Read a list of people"),
        "person.erase": _("Had a person erased"),
        "person.erased": _("Erased a person"),
        "person.export": _("Exported a person's data"),
        "person.read": _("Read a person's data"),
        "prestart": _("Had labs started ahead"),
        "prestart.cancel": _("Called labs ahead off"),
        "request.decline": _("Declined a request"),
        "request.grant": _("Granted a request"),
        "retention.announce": _("Announced a deletion"),
        "retention.delete": _("Deleted a cohort's data"),
        "retention.set": _("Set when data is deleted"),
        "roster.import": _("Imported a roster"),
        "window.add": _("Reserved GPU places"),
        "window.remove": _("Gave GPU places up"),
    }.get(action, action)


def details(row: AuditRow, zone: str) -> str:
    """The rest of a line: numbers and codes, in the order of their names; times are of `zone`."""
    facts = row.facts().items()
    return ", ".join(f"{_names(key)}: {_value(key, value, zone)}" for key, value in facts)


def _names(key: str) -> str:
    return {
        "before": _("before"),
        "fields": _("fields"),
        "hours": _("hours"),
        "lab": _("lab"),
        "labs": _("labs"),
        "minutes": _("minutes"),
        "people": _("people"),
        "role": _("role"),
        "seats": _("seats"),
        "slots": _("places"),
        "staff_of": _("staff of"),
        "units": _("GPU-hours"),
        "until": _("until"),
    }.get(key) or roster.counted(key)


def _value(key: str, value: object, zone: str) -> str:
    if key == "units" and isinstance(value, int):
        return formats.gpu_hours(value, 4)
    if isinstance(value, list):
        return " · ".join(texts.field_name(str(one)) for one in value)
    if key in ("role", "before"):
        return texts.words(str(value))
    if key == "until" and value:
        return formats.moment(datetime.fromisoformat(str(value)), zone)
    return str(value) if value != "" else "–"
