"""The grader service's audit log: what staff did with coursework, and why (see store.audit)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from core.clock import now
from grader.models import Base
from store import audit
from web.i18n import gettext as _


class AuditRow(audit.AuditColumns, Base):
    """One act."""


def note(
    session: Session,
    actor: str,
    action: str,
    scope: str = "",
    target: str = "",
    reason: str = "",
    **details: Any,
) -> None:
    """Write an act down, in the transaction of the act. `scope`: a course, or course/cohort."""
    session.add(audit.entry(AuditRow, now(), actor, action, scope, target, reason, **details))


def words(action: str) -> str:
    """An action in words; one that has none is shown as its code."""
    return {
        "assignment.publish": _("Published an assignment"),
        "assignment.grade": _("Had work graded"),
        "assignment.release-feedback": _("Released feedback"),
        "assignment.release-solution": _("Released the solution"),
        "assignment.hide-solution": _("Hid the solution"),
        "certificate.issue": _("Issued certificates"),
        "certificate.restore": _("Gave a certificate back"),
        "certificate.revoke": _("Revoked a certificate"),
        "dates.set": _("Changed dates or attempts"),
        "dates.remove": _("Took changed dates back"),
        "mark.give": _("Marked by hand"),
        "person.erase": _("Erased a person's coursework"),
        "person.export": _("Exported a person's coursework"),
        "scores.export": _("Exported scores"),
        "submission.read": _("Downloaded a submission"),
    }.get(action, action)


def details(row: AuditRow) -> str:
    """The rest of a line."""
    return ", ".join(_fact(key, value) for key, value in row.facts().items() if value is not False)


def _fact(key: str, value: object) -> str:
    return _name(key) if value is True else f"{_name(key)}: {value or '–'}"


def _name(key: str) -> str:
    return {
        "again": _("graded ones too"),
        "assignment": _("assignment"),
        "early": _("before the closing time"),
        "kind": _("format"),
        "submissions": _("submissions"),
    }.get(key, key)
