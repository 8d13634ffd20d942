"""The table of prestarted labs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from usage.models import Base


class Prestart(Base):
    """One learner's lab, started for them before they came."""

    __tablename__ = "prestarts"
    id: Mapped[int] = mapped_column(primary_key=True)
    batch: Mapped[str] = mapped_column(index=True)
    """The window it belongs to, or one press of the button."""
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    username: Mapped[str]
    course: Mapped[str]
    lab: Mapped[str]
    state: Mapped[str]
    """waiting, asked (the Hub was), ready; then opened, returned, failed or skipped (had a lab)."""
    open: Mapped[bool]
    """waiting, asked or ready."""
    detail: Mapped[str]
    """Why it failed; a code of usage.texts."""
    lease_id: Mapped[str | None] = mapped_column(index=True)
    """None while it has none, and for a lab without GPU."""
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    return_at: Mapped[datetime]
    """Returned then unless it was opened."""
    boot_id: Mapped[str]
    asked_boot_ms: Mapped[int]
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "one_open_prestart_per_person",
            "username",
            unique=True,
            sqlite_where=text("open"),
            postgresql_where=text("open"),
        ),
    )
