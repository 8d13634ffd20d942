"""All that this service knows of one person, and taking the person out of it.

Every column that names a person is found by its name, also one that is added later. Kept under a
pseudonym: the ledger, leases, memberships and the audit log, so that books and reports stay right.
Gone: name, e-mail address, consents, requests' notes, places on rosters, what labs said.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store.audit import PSEUDONYM
from store.personal import name_columns
from usage import audit
from usage.leases import OPEN, Clock
from usage.models import Base, ConsentRow, LeaseRow, Person, Request, Wait
from usage.refusals import No
from usage.retention.models import Erasure
from usage.roster.models import Expected, RosterImport


def new_pseudonym() -> str:
    """A name that no account can have and that says nothing."""
    return PSEUDONYM + secrets.token_hex(6)


def everything(session: Session, username: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table that name this person."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table, column in name_columns(Base.metadata):
        rows = session.execute(select(table).where(column == username)).all()
        if rows:
            found.setdefault(table.name, []).extend(dict(row._mapping) for row in rows)
    person = session.get(Person, username)
    if person is not None and person.email:
        places = select(Expected.__table__).where(Expected.email == person.email.lower())
        rows = session.execute(places).all()
        if rows:
            found["expected"] = [dict(row._mapping) for row in rows]
    return found


def is_known(session: Session, username: str) -> bool:
    """Whether anything here names this person."""
    return any(
        session.execute(select(column).where(column == username).limit(1)).first() is not None
        for table, column in name_columns(Base.metadata)
        if column.name == "username"
    )


def check_erasable(session: Session, username: str) -> None:
    """Raises No for somebody unknown, erased already, or with a running GPU lab."""
    if username.startswith(PSEUDONYM) or not is_known(session, username):
        raise No("person_unknown", username=username)
    lease = select(LeaseRow.id).where(LeaseRow.username == username, LeaseRow.state.in_(OPEN))
    if session.scalar(lease.limit(1)) is not None:
        raise No("person_has_lab", username=username)


def erase(session: Session, username: str, pseudonym: str, time: Clock) -> None:
    """Take the person out. Again is harmless."""
    person = session.get(Person, username)
    if person is not None and person.email:
        session.execute(delete(Expected).where(Expected.email == person.email.lower()))
    for kind in (Person, ConsentRow, Wait):
        session.execute(delete(kind).where(kind.username == username))
    session.execute(delete(Expected).where(Expected.username == username))
    session.execute(delete(RosterImport))  # previews may name anybody, and last a day anyhow
    session.execute(update(Request).where(Request.username == username).values(note=""))
    for name in ("lab_activity", "announcement_reads", "prestarts"):
        table = Base.metadata.tables.get(name)
        if table is not None:
            session.execute(delete(table).where(table.c.username == username))
    for table, column in name_columns(Base.metadata):
        if table.name == Erasure.__tablename__ and column.name == "username":
            continue  # its own row keeps the name until every step is done
        values: dict[str, Any] = {column.name: pseudonym}
        if "reason" in table.c and column.name in ("username", "target"):
            values["reason"] = func.replace(table.c.reason, username, pseudonym)
        session.execute(update(table).where(column == username).values(values))
    # The pool's own entries name the learner whose request they answered.
    entries = Base.metadata.tables["entries"]
    asked = f"request of {username}"
    session.execute(
        update(entries)
        .where(func.substr(entries.c.reason, 1, len(asked)) == asked)
        .values(reason=f"request of {pseudonym}")
    )
    audit.note(session, time, audit.PLATFORM, "person.erased", "", pseudonym)
    session.flush()
