"""Tables of rosters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from usage.models import Base


class Expected(Base):
    """A person of a roster who is not enrolled yet: has no account, or waits for confirmation."""

    __tablename__ = "expected"
    id: Mapped[int] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"))
    email: Mapped[str] = mapped_column(index=True)
    """In lower case; empty when the roster has none."""
    username: Mapped[str]
    """In lower case; empty when the roster has none."""
    name: Mapped[str]
    role: Mapped[str]
    arrived: Mapped[str]
    """User name of whoever signed up with this e-mail address and waits for confirmation."""
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("cohort_id", "email", "username"),)


class RosterImport(Base):
    """A preview, kept so that exactly what was shown is what is done. Emptied once applied."""

    __tablename__ = "roster_imports"
    id: Mapped[str] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"))
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    about: Mapped[dict[str, Any]]
    """The file: source, encoding, delimiter, columns that are not read."""
    steps: Mapped[list[dict[str, Any]]]
    applied_at: Mapped[datetime | None]


def matching(session: Session, username: str, email: str) -> Sequence[Expected]:
    """The places that rosters keep for somebody who signs up like this."""
    named = (Expected.email == "") & (Expected.username == username)
    addressed = (Expected.email != "") & (Expected.email == email.strip().lower())
    query = select(Expected).where(or_(named, addressed))
    return session.scalars(query.order_by(Expected.id)).all()
