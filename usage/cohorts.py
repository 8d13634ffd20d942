"""Cohorts, who is in them, and event codes. Changes are upserts: again is harmless."""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.ids import is_id
from core.wire import Enrolment
from usage import accounts, ledger
from usage.client import CohortCourses, CohortMember, CohortSpec
from usage.leases import Clock, until
from usage.models import Account, Code, Cohort, LeaseRow, Membership, Person
from usage.refusals import No
from usage.roster import models as rostered

YEARS = (2000, 2200)
"""A time outside is a slip of the keyboard, and some have no meaning in every zone."""

REMOVED = "removed"
"""Why the lab of somebody who is no longer a member stops."""

ROLES = ("trainee", "assistant", "instructor", "admin")
_CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{3,38}[A-Z0-9]")
_USERNAME = re.compile(r"[^\x00-\x1f\x7f/]{1,200}")


LONGEST_NAME = 200
"""Characters in the name of a cohort or an organisation."""


def moment(text: str, field: str) -> datetime:
    """A moment typed with its zone. Raises No naming the field."""
    if not text.strip():
        raise No("time_missing", field=field)
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise No("time_unreadable", field=field, value=text) from None
    if value.tzinfo is None:
        raise No("time_without_zone", field=field, value=text)
    if not YEARS[0] <= value.year <= YEARS[1]:
        raise No("time_unreadable", field=field, value=text)
    return value


def put(session: Session, spec: CohortSpec, known_courses: Set[str], time: Clock) -> Cohort:
    """Create the cohort or bring it to `spec`. Raises No for a value that cannot be."""
    _check(spec, known_courses)
    starts, ends = moment(spec.starts, "starts"), moment(spec.ends, "ends")
    if ends <= starts:
        raise No("cohort_order")
    row = session.get(Cohort, spec.id)
    old_cap = row.learner_cap if row else None
    if row is None:
        # Set once: later it is what instructors have not granted yet.
        row = Cohort(id=spec.id, created_at=time.now(), allowance=spec.allowance)
        session.add(row)
    row.name, row.organisation = spec.name.strip(), spec.organisation.strip()
    row.starts_at, row.ends_at, row.timezone = starts, ends, spec.timezone
    row.courses = sorted(set(spec.courses))
    row.lab_max_ms = None if spec.lab_max_minutes is None else spec.lab_max_minutes * 60_000
    row.learner_cap, row.max_gpu_labs = spec.learner_cap, spec.max_gpu_labs
    row.daily_cap = spec.daily_cap
    session.flush()
    accounts.account(session, spec.id, accounts.POOL)
    _change_caps(session, spec.id, old_cap, spec.learner_cap)
    return row


def _check(spec: CohortSpec, known_courses: Set[str]) -> None:
    if not is_id(spec.id):
        raise No("cohort_id", value=spec.id)
    if not spec.name.strip():
        raise No("cohort_name")
    for field, text in (("name", spec.name), ("organisation", spec.organisation)):
        if len(text.strip()) > LONGEST_NAME:
            most = LONGEST_NAME
            raise No("text_long", field=field, most=most, length=len(text.strip()))
    try:
        ZoneInfo(spec.timezone)
    except (ValueError, OSError, KeyError):
        raise No("zone_unknown", value=spec.timezone) from None
    unknown = sorted(set(spec.courses) - known_courses)
    if unknown:
        raise No("course_unknown", course=unknown[0], known=", ".join(sorted(known_courses)))
    limits = {
        "lab_max_minutes": (spec.lab_max_minutes, 10_080),
        "learner_cap": (spec.learner_cap, ledger.LARGEST),
        "daily_cap": (spec.daily_cap, ledger.LARGEST),
        "max_gpu_labs": (spec.max_gpu_labs, 10_000),
    }
    for field, (value, most) in limits.items():
        if value is not None and not 1 <= value <= most:
            raise No("number_out_of_range", field=field, value=value, least=1, most=most)
    _check_allowance(spec.allowance)


def _check_allowance(value: int) -> None:
    if not 0 <= value <= ledger.LARGEST:
        most = ledger.LARGEST
        raise No("number_out_of_range", field="allowance", value=value, least=0, most=most)


def set_allowance(session: Session, cohort: str, value: int) -> None:
    """What instructors may still grant by themselves, in units. Raises No."""
    _check_allowance(value)
    row = session.get(Cohort, cohort)
    if row is None:
        raise No("cohort_unknown", cohort=cohort)
    row.allowance = value


def _change_caps(session: Session, cohort: str, old: int | None, new: int | None) -> None:
    """Learners' caps follow the cohort's; what one was granted on top stays on top."""
    if old == new:
        return
    value = new if old is None or new is None else Account.cap + (new - old)
    session.execute(
        update(Account)
        .where(Account.cohort_id == cohort, Account.username != accounts.POOL)
        .values(cap=value)
        .execution_options(synchronize_session=False)
    )


def enrol(
    session: Session,
    cohort: str,
    username: str,
    role: str,
    email: str,
    name: str,
    time: Clock,
    code: str | None = None,
) -> Membership:
    """Put a person into a cohort or change their role. Raises No."""
    if session.get(Cohort, cohort) is None:
        raise No("cohort_unknown", cohort=cohort)
    if role not in ROLES:
        raise No("role_unknown", role=role, known=", ".join(ROLES))
    if not _USERNAME.fullmatch(username) or username != username.strip():
        raise No("username_bad", value=username[:50])
    _note_person(session, username, email, name)
    row = session.get(Membership, (cohort, username))
    if row is None:
        row = Membership(
            cohort_id=cohort, username=username, created_at=time.now(), code=code, role=role
        )
        session.add(row)
    if row.removed_at is not None:
        _close_leases(session, cohort, username, REMOVED, "")
    row.role, row.removed_at = role, None
    session.flush()
    accounts.account(session, cohort, username)
    return row


def _note_person(session: Session, username: str, email: str, name: str) -> None:
    person = session.get(Person, username)
    if person is None:
        person = Person(username=username, email="", name="")
        session.add(person)
    person.email, person.name = email[:255] or person.email, name[:255] or person.name


def staff(session: Session, cohort: str) -> list[Membership]:
    """Members of a cohort in another role than trainee."""
    query = select(Membership).where(
        Membership.cohort_id == cohort,
        Membership.role != "trainee",
        Membership.removed_at.is_(None),
    )
    return list(session.scalars(query.order_by(Membership.username)))


def remove(session: Session, cohort: str, username: str, time: Clock) -> None:
    """End a membership; what the person used stays in the books. Raises No."""
    row = session.get(Membership, (cohort, username))
    if row is None:
        raise No("not_enrolled", cohort=cohort)
    row.removed_at = row.removed_at or time.now()
    _close_leases(session, cohort, username, "", REMOVED)


def _close_leases(session: Session, cohort: str, username: str, now: str, then: str) -> None:
    """Whoever is no longer a member keeps the grant they have and gets no more."""
    session.execute(
        update(LeaseRow)
        .where(LeaseRow.cohort_id == cohort, LeaseRow.username == username)
        .where(LeaseRow.state != "ended", LeaseRow.closing == now)
        .values(closing=then)
        .execution_options(synchronize_session="fetch")
    )


def put_code(
    session: Session, code: str, cohort: str, seats: int, expires: str, role: str, time: Clock
) -> Code:
    """Create or change an event code. Raises No."""
    code = normal(code)
    if not _CODE.fullmatch(code):
        raise No("code_form")
    if session.get(Cohort, cohort) is None:
        raise No("cohort_unknown", cohort=cohort)
    if role not in ROLES or role == "admin":  # a code that leaks must not make administrators
        raise No("role_unknown", role=role, known=", ".join(ROLES[:-1]))
    row = session.get(Code, code)
    if row is not None and row.cohort_id != cohort:
        raise No("code_taken", code=code)
    least = max(1, row.used if row else 0)
    if not least <= seats <= 10_000:
        raise No("number_out_of_range", field="seats", value=seats, least=least, most=10_000)
    if row is None:
        row = Code(code=code, cohort_id=cohort, used=0, created_at=time.now())
        session.add(row)
    row.role, row.seats = role, seats
    row.expires_at = moment(expires, "expires") if expires else None
    session.flush()
    return row


def normal(code: str) -> str:
    """A code as people type it: case and blanks do not matter."""
    return re.sub(r"\s+", "", code).upper()


def usable_code(
    session: Session, code: str, time: Clock, username: str = "", email: str = ""
) -> tuple[Code, Cohort]:
    """The code and its cohort. Raises No when it is wrong, expired or full.

    Somebody whom the cohort's roster names has a place already: full is not for them.
    """
    row = session.get(Code, normal(code))
    if row is None:
        raise No("code_wrong")
    cohort = session.get_one(Cohort, row.cohort_id)
    details = {"cohort": cohort.name, "whom": whom(session, cohort)}
    expires = min(row.expires_at or cohort.ends_at, cohort.ends_at)
    if until(expires, time) <= 0:
        raise No("code_expired", at=expires, **details)
    if row.used >= row.seats and not _has_place(session, cohort.id, username, email):
        raise No("code_full", seats=row.seats, **details)
    return row, cohort


def _has_place(session: Session, cohort: str, username: str, email: str) -> bool:
    known = session.get(Membership, (cohort, username)) if username else None
    if known is not None and known.removed_at is None:
        return True
    places = rostered.matching(session, username, email)
    return any(place.cohort_id == cohort for place in places)


def whom(session: Session, cohort: Cohort) -> str:
    """Whom to ask about a cohort: its instructors by name, else its organisation."""
    names = session.scalars(
        select(Person.name)
        .join(Membership, Membership.username == Person.username)
        .where(
            Membership.cohort_id == cohort.id,
            Membership.role == "instructor",
            Membership.removed_at.is_(None),
            Person.name != "",
        )
        .order_by(Person.name)
        .limit(3)
    ).all()
    return ", ".join(names) or cohort.organisation


def join(
    session: Session, code: str, username: str, email: str, name: str, time: Clock
) -> Membership:
    """Take a seat; someone already in keeps role and seat. Raises No."""
    given = session.get(Code, normal(code))
    if given is not None:
        known = session.get(Membership, (given.cohort_id, username))
        if known is not None and known.removed_at is None:
            _note_person(session, username, email, name)
            return known
    row, cohort = usable_code(session, code, time, username, email)
    if _has_place(session, cohort.id, username, email):
        return enrol(session, cohort.id, username, row.role, email, name, time, row.code)
    taken = session.execute(
        update(Code)
        .where(Code.code == row.code, Code.used < Code.seats)
        .values(used=Code.used + 1)
        .returning(Code.code)
        .execution_options(synchronize_session=False)
    ).all()
    if len(taken) != 1:
        raise No("code_full", seats=row.seats, cohort=cohort.name, whom=whom(session, cohort))
    return enrol(session, cohort.id, username, row.role, email, name, time, row.code)


def all_of_them(session: Session, time: Clock) -> list[CohortCourses]:
    """Every cohort, the newest to end first."""
    rows = session.scalars(select(Cohort).order_by(Cohort.ends_at.desc(), Cohort.id))
    return [CohortCourses(c.id, c.name, list(c.courses), is_open(c, time)) for c in rows]


def members(session: Session, cohort: str) -> list[CohortMember]:
    """The people of a cohort, by user name."""
    rows = session.execute(
        select(Membership, Person)
        .join(Person, Person.username == Membership.username, isouter=True)
        .where(Membership.cohort_id == cohort, Membership.removed_at.is_(None))
        .order_by(Membership.username)
    ).all()
    return [
        CohortMember(m.username, m.role, p.name if p else "", p.email if p else "")  # type: ignore[arg-type]
        for m, p in rows
    ]


def is_open(cohort: Cohort, time: Clock) -> bool:
    """Within its start and end."""
    return until(cohort.starts_at, time) <= 0 < until(cohort.ends_at, time)


def enrolments(session: Session, username: str, time: Clock) -> list[Enrolment]:
    """The cohorts of a person."""
    rows = session.execute(
        select(Membership, Cohort)
        .join(Cohort, Cohort.id == Membership.cohort_id)
        .where(Membership.username == username, Membership.removed_at.is_(None))
        .order_by(Cohort.ends_at, Cohort.id)
    ).all()
    return [as_enrolment(membership, cohort, time) for membership, cohort in rows]


def as_enrolment(membership: Membership, cohort: Cohort, time: Clock) -> Enrolment:
    """The wire shape."""
    opened = is_open(cohort, time)
    return Enrolment(cohort.id, membership.role, list(cohort.courses), opened)  # type: ignore[arg-type]
