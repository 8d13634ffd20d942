"""People of a roster without an account: they become members when they sign up.

Whoever signs up with an event code and the roster's e-mail address (a user name where the roster
has no address) becomes a member of that code's cohort at once: as a trainee, or in the roster's
role when the code gives that role or a higher one. All else (another cohort, a role above the
code's) waits for an admin, since nobody has verified the address.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from usage import audit, cohorts
from usage.leases import Clock
from usage.models import Membership
from usage.refusals import No
from usage.roster.models import Expected, matching


def of_cohort(session: Session, cohort: str) -> Sequence[Expected]:
    """Everybody expected, those waiting for confirmation first."""
    query = select(Expected).where(Expected.cohort_id == cohort)
    return session.scalars(query.order_by(Expected.arrived == "", Expected.id)).all()


def arrive(session: Session, joined: Membership, email: str, time: Clock) -> None:
    """Somebody joined the cohort of an event code: give them what rosters keep for them there, and
    note for an admin what they keep elsewhere."""
    allowed = _rank(joined.role)
    for row in matching(session, joined.username, email):
        here = row.cohort_id == joined.cohort_id
        if here and (row.role == "trainee" or _rank(row.role) <= allowed):
            _enrol(session, row, joined.username, max(row.role, joined.role, key=_rank), time)
        else:
            row.arrived = joined.username
    session.flush()


def confirm(session: Session, cohort: str, place: int, actor: str, time: Clock) -> None:
    """An admin says that whoever arrived is the person meant. Raises No."""
    row = _get(session, cohort, place)
    if not row.arrived:
        raise No("expected_absent")
    _enrol(session, row, row.arrived, row.role, time, actor)


def forget(session: Session, cohort: str, place: int, actor: str, time: Clock) -> None:
    """Expect this person no more. Raises No."""
    row = _get(session, cohort, place)
    audit.note(session, time, actor, "expected.remove", cohort, row.arrived, role=row.role)
    session.delete(row)


def _get(session: Session, cohort: str, place: int) -> Expected:
    row = session.get(Expected, place)
    if row is None or row.cohort_id != cohort:
        raise No("expected_unknown")
    return row


def _enrol(
    session: Session,
    row: Expected,
    username: str,
    role: str,
    time: Clock,
    actor: str = audit.PLATFORM,
) -> None:
    cohorts.enrol(session, row.cohort_id, username, role, "", row.name, time)
    audit.note(session, time, actor, "expected.enrol", row.cohort_id, username, role=role)
    session.delete(row)


def _rank(role: str) -> int:
    return cohorts.ROLES.index(role)
