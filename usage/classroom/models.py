"""Tables of the class view."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from usage.models import Base

LONGEST_TEXT = 1000


class LabActivity(Base):
    """What a person's lab last said of itself: numbers only, never code, output or messages."""

    __tablename__ = "lab_activity"

    username: Mapped[str] = mapped_column(primary_key=True)
    reported_at: Mapped[datetime]
    active_at: Mapped[datetime]
    """When something last ran there."""
    runs: Mapped[int]
    """Cells run in the minutes that `errors` counts, too."""
    errors: Mapped[int]
    checks: Mapped[int]
    """Validations of an assignment in the same minutes."""
    failed_checks: Mapped[int]


class Announcement(Base):
    """What staff said to everybody of a cohort: in JupyterLab and on the home page."""

    __tablename__ = "announcements"

    id: Mapped[str] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    text: Mapped[str] = mapped_column(String(LONGEST_TEXT))
    author: Mapped[str]
    created_at: Mapped[datetime]
    shown_until: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str]


class AnnouncementRead(Base):
    """Whose lab has shown an announcement."""

    __tablename__ = "announcement_reads"

    announcement_id: Mapped[str] = mapped_column(ForeignKey("announcements.id"), primary_key=True)
    username: Mapped[str] = mapped_column(primary_key=True)
    read_at: Mapped[datetime]
