"""Tables of retention."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from usage.models import Base


class Erasure(Base):
    """One person's erasure. Its steps are done again until all are; then the name goes."""

    __tablename__ = "erasures"
    id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str]
    """Empty once finished."""
    pseudonym: Mapped[str]
    asked_by: Mapped[str]
    reason: Mapped[str] = mapped_column(String(1000))
    created_at: Mapped[datetime]
    done: Mapped[list[str]] = mapped_column(JSON)
    """Steps done: hub, grader, usage."""
    problem: Mapped[str] = mapped_column(String(1000))
    """Why the next step failed when it was last tried."""
    finished_at: Mapped[datetime | None]
