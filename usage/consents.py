"""Who agreed to what, and when. A row is never changed: a withdrawal is a newer row.

`core.consent` has the text; a row names its version and the hash of the file it stood in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.consent import Consent, Item
from usage.client import ConsentGiven
from usage.leases import Clock
from usage.models import ConsentRow
from usage.refusals import No


@dataclass(frozen=True)
class Standing:
    """One item of the present text with this person's last word on it."""

    item: Item
    given: bool
    version: str
    """Version that the last word was about; empty: never asked."""
    at: datetime | None


def record(
    session: Session, username: str, text: Consent, given: ConsentGiven, time: Clock
) -> None:
    """Write the answers of a sign-up. Raises No for another version than the present one, and
    unless every required item was accepted."""
    if given.version != text.version:
        raise No("consent_changed")
    accepted = set(given.items)
    if missing := [item for item in text.required if item.id not in accepted]:
        raise No("consent_missing", item=missing[0].title.in_(given.language))
    for item in text.items:
        _write(session, username, text, item, item.id in accepted, given.language, time)


def set_optional(
    session: Session, username: str, text: Consent, accepted: set[str], language: str, time: Clock
) -> list[str]:
    """Bring the optional items to `accepted`; ids of those that changed."""
    changed = [
        one.item
        for one in standing(session, username, text)
        if not one.item.required and one.given != (one.item.id in accepted)
    ]
    for item in changed:
        _write(session, username, text, item, item.id in accepted, language, time)
    return [item.id for item in changed]


def standing(session: Session, username: str, text: Consent) -> list[Standing]:
    """This person's last word on each item of the present text."""
    last: dict[str, ConsentRow] = {}
    for row in history(session, username):
        last[row.item] = row
    found = []
    for item in text.items:
        said = last.get(item.id)
        found.append(
            Standing(item, said.given, said.version, said.at)
            if said
            else Standing(item, False, "", None)
        )
    return found


def history(session: Session, username: str) -> list[ConsentRow]:
    """Every answer of a person, oldest first."""
    query = select(ConsentRow).where(ConsentRow.username == username).order_by(ConsentRow.id)
    return list(session.scalars(query).all())


def _write(
    session: Session,
    username: str,
    text: Consent,
    item: Item,
    given: bool,
    language: str,
    time: Clock,
) -> None:
    session.add(
        ConsentRow(
            username=username,
            item=item.id,
            version=text.version,
            sha256=text.sha256,
            language=language,
            given=given,
            at=time.now(),
        )
    )
    session.flush()
