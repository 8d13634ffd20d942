"""Tables of rosters."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

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
