"""Reasons in the ledger and the audit log: what people typed stays, what the platform wrote itself
is kept in English and said in the reader's language here."""

from __future__ import annotations

import re

from usage import texts
from web.i18n import gettext as _


def said(kept: str) -> str:
    """A reason for its reader."""
    for pattern, sentence in _own():
        found = re.fullmatch(pattern, kept, re.DOTALL)
        if found:
            values = found.groupdict()
            if "reason" in values:
                values["reason"] = texts.reason(values["reason"])
            return sentence % values
    return kept


def problem(kept: str) -> str:
    """Why a step of an erasure is tried again: the step in words, then what stopped it."""
    step, _colon, detail = kept.partition(": ")
    sentence = {
        "hub": _("The Hub does not do its part yet (%(detail)s)"),
        "grader": _("The coursework service does not answer (%(detail)s)"),
    }.get(step)
    return sentence % {"detail": detail} if sentence else kept


def _own() -> list[tuple[str, str]]:
    """How each begins and ends, where it is written: usage.leases, heartbeat, requests, office,
    retention.erasing."""
    return [
        ("platform fault: (?P<reason>.*)", _("Fault of the platform: %(reason)s")),
        ("prestart: the time before it was opened", _("Started ahead: the time before it opened")),
        ("request of (?P<name>[^:]*): (?P<note>.*)", _("Request of %(name)s: %(note)s")),
        ("request of (?P<name>.*)", _("Request of %(name)s")),
        ("(?P<cohort>[a-z0-9-]+): first grant", _("First grant of %(cohort)s")),
        ("cohort (?P<cohort>[a-z0-9-]+)", _("The data of %(cohort)s was kept long enough")),
    ]
