"""What the pages of administration share: who may, what is shown again after a refusal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from usage import forms, reasons, texts, views
from usage.home import STAFF
from usage.models import Cohort, Membership
from usage.refusals import No
from usage.service import Usage
from web.auth import Person, admin_only, signed_in
from web.i18n import gettext as _

Admin = Annotated[Person, Depends(admin_only)]
Me = Annotated[Person, Depends(signed_in)]

BASE = "/services/usage/admin"


@dataclasses.dataclass(frozen=True)
class Slip:
    """A refused form on its way back to its page; an empty sentence: nothing was refused."""

    sentence: str = ""
    form: str = ""
    """Which of the page's forms, as its template names it."""
    field: str = ""
    """Which of its fields; empty: the form as a whole."""
    typed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What stood in the fields; shown again."""

    @property
    def status(self) -> int:
        """The status of the page that shows it."""
        return 409 if self.sentence else 200


NO_SLIP = Slip()

Show = Callable[[Slip], Response]
"""Draws the page again with what was refused."""


def cohort_of(service: Usage, cohort: str) -> Cohort:
    """The cohort, else 404."""
    with service.database.read() as session:
        try:
            return views.cohort(session, cohort)
        except No:
            raise HTTPException(404) from None


def role_in(service: Usage, me: Person, cohort: str) -> str:
    """The person's role in `cohort`: "site" for an admin of the Hub. Others than staff get 404, so
    that nobody learns which cohorts there are."""
    if me.admin:
        cohort_of(service, cohort)
        return "site"
    with service.database.read() as session:
        row = session.get(Membership, (cohort, me.name))
    if row is None or row.removed_at is not None or row.role not in STAFF:
        raise HTTPException(404)
    return row.role


def may_answer(service: Usage, me: Person, cohort: str) -> bool:
    """Whether the person may answer requests for more GPU time; assistants may not."""
    return role_in(service, me, cohort) in ("site", "instructor", "admin")


def check_may_answer(service: Usage, me: Person, cohort: str) -> None:
    """403 with a sentence for staff that may not answer requests; others get 404."""
    if not may_answer(service, me, cohort):
        raise HTTPException(403, _("Only instructors may answer requests."))


def slip(no: No, zone: str, form: str = "", typed: Mapping[str, Any] | None = None) -> Slip:
    """The refusal `no` of `form`, in which `typed` stood."""
    typed = typed or {}
    return Slip(texts.sentence(no, zone), form, forms.field_of(no, typed), typed)


def do(
    act: Callable[[], Any],
    back: str,
    zone: str,
    show: Show,
    form: str = "",
    typed: Mapping[str, Any] | None = None,
) -> Response:
    """Act and go `back` (below the pages of administration), where `form` says that it was done; a
    refusal is shown on the page, at the field that it is about."""
    try:
        act()
    except No as no:
        return show(slip(no, zone, form, typed))
    return RedirectResponse(f"{BASE}{back}?done={form}#{form}" if form else BASE + back, 303)


def words(request: Request, refused: Slip = NO_SLIP) -> dict[str, Any]:
    """What these pages say things with, and what was refused or done."""
    return {
        "slip": refused,
        "done": "" if refused.sentence else request.query_params.get("done", ""),
        "courses": request.app.state.courses,
        "gpu_time": texts.gpu_time,
        "exact": texts.exact_seconds,
        "reason": texts.reason,
        "written": reasons.said,
        "words": texts.words,
    }
