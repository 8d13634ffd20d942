"""Event codes as people get them: an address, and the same as a QR code."""

from __future__ import annotations

from urllib.parse import quote

import segno
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.settings import Settings
from usage.cohorts import normal
from usage.models import Code


def all_of(session: Session, cohort: str) -> list[Code]:
    """The codes of a cohort, oldest first."""
    query = select(Code).where(Code.cohort_id == cohort)
    return list(session.scalars(query.order_by(Code.created_at, Code.code)))


def of_cohort(session: Session, cohort: str, code: str) -> Code | None:
    """The code, if it belongs to the cohort."""
    found = session.get(Code, normal(code))
    return found if found is not None and found.cohort_id == cohort else None


def join_address(settings: Settings, code: str) -> str:
    """Where somebody with this code signs up."""
    return f"{settings.public_url}/hub/signup?code={quote(code, safe='')}"


def short_address(settings: Settings) -> str:
    """The same to be typed, without the code."""
    return f"{settings.public_url}/hub/signup"


def qr(address: str) -> Markup:
    """A QR code as SVG, black on white, that scales with its box. Readable when partly covered."""
    made = segno.make(address, error="q", micro=False)
    svg = made.svg_inline(scale=1, omitsize=True, dark="#000", light="#fff", border=4)
    return Markup(svg)  # noqa: S704 # made of an address, as paths; no text of it in there
