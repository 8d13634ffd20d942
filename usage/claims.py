"""Signing up as somebody whom a roster already names.

A roster enrols people who have no account yet. Whoever then signs up with such a user name takes
that place over, if the roster's e-mail address is theirs to name, the event code is one of the same
cohort, and there is nothing yet that could be taken from another person: trainees only, and never
a lab started. Staff get their account from an administrator.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from usage.models import Cohort, LeaseRow, Membership, Person
from usage.refusals import No


def check(session: Session, username: str, email: str, cohort: Cohort, whom: str) -> None:
    """Raises No when `username` stands on a roster and this sign-up may not take its place."""
    places = session.scalars(
        select(Membership).where(Membership.username == username, Membership.removed_at.is_(None))
    ).all()
    if not places:
        return
    if any(place.role != "trainee" for place in places) or _has_worked(session, username):
        raise No("name_taken")
    person = session.get(Person, username)
    same_email = person is not None and same_address(person.email, email)
    if not same_email or cohort.id not in {place.cohort_id for place in places}:
        raise No("name_rostered", cohort=cohort.name, whom=whom)


def same_address(one: str, other: str) -> bool:
    """Whether two e-mail addresses are the same; an empty one is nobody's."""
    return bool(one) and one.strip().casefold() == other.strip().casefold()


def _has_worked(session: Session, username: str) -> bool:
    return (
        session.scalar(select(LeaseRow.id).where(LeaseRow.username == username).limit(1))
        is not None
    )
