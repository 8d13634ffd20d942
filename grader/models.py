"""The grader's tables. Rows point to blobs by SHA-256; a blob is durable before its row is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.columns import Big, Name, UtcTime

Sha256 = String(64)


class Base(DeclarativeBase):
    """Declarative base."""

    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        datetime: UtcTime,
        int: Big,
        str: Name,
        float: Float,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Release(Base):
    """One published version of an assignment."""

    __tablename__ = "releases"
    __table_args__ = (UniqueConstraint("course", "assignment", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    course: Mapped[str]
    assignment: Mapped[str]
    version: Mapped[int]
    notebooks: Mapped[list[Any]]
    """Names without ``.ipynb``."""
    archives: Mapped[dict[str, Any]]
    """Blob of the archive by language; ``en`` is always there."""
    published_by: Mapped[str]
    published_at: Mapped[datetime]


class Submission(Base):
    """One accepted attempt. `key` makes a repeated request the same attempt."""

    __tablename__ = "submissions"
    __table_args__ = (
        UniqueConstraint(
            "course", "cohort", "assignment", "username", "attempt", name="submissions_by_cohort"
        ),
        UniqueConstraint("username", "key"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    course: Mapped[str]
    cohort: Mapped[str]
    """Empty: from before cohorts were kept, and not told apart yet (see grader.upkeep)."""
    assignment: Mapped[str]
    username: Mapped[str]
    attempt: Mapped[int]
    key: Mapped[str]
    sha256: Mapped[str] = mapped_column(Sha256)
    size: Mapped[int]
    notebooks: Mapped[list[Any]]
    received_at: Mapped[datetime]
    late: Mapped[bool]


class Fetch(Base):
    """That somebody took a published assignment into their lab; the newest time counts."""

    __tablename__ = "fetches"

    course: Mapped[str] = mapped_column(primary_key=True)
    assignment: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    fetched_at: Mapped[datetime]


class Solution(Base):
    """The solved version of an assignment, which a cohort's learners may read from now on."""

    __tablename__ = "solutions"

    course: Mapped[str] = mapped_column(primary_key=True)
    cohort: Mapped[str] = mapped_column(primary_key=True)
    assignment: Mapped[str] = mapped_column(primary_key=True)
    archives: Mapped[dict[str, Any]]
    """Blob of the archive by language."""
    released_at: Mapped[datetime]
    released_by: Mapped[str]
    early: Mapped[bool]
    """Released before the assignment closed, knowingly."""


class Dates(Base):
    """Rules of one assignment that replace course.toml's: one person's, or a whole cohort's.

    A value that is None is taken from the next wider row, unless `cleared` names it: then there is
    none (no due date, any number of attempts).
    """

    __tablename__ = "dates"
    __table_args__ = (
        UniqueConstraint("course", "cohort", "assignment", "username", name="dates_by_cohort"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    course: Mapped[str]
    cohort: Mapped[str]
    """Empty: every cohort (rows from before cohorts were kept)."""
    assignment: Mapped[str]
    username: Mapped[str]
    """Empty: everybody."""
    release: Mapped[datetime | None]
    due: Mapped[datetime | None]
    close: Mapped[datetime | None]
    percent_per_day: Mapped[float | None]
    grace_minutes: Mapped[int | None]
    attempts: Mapped[int | None]
    cleared: Mapped[list[Any]]
    set_by: Mapped[str]
    set_at: Mapped[datetime]


class Mark(Base):
    """What a person gave one cell of one submission; the newest row counts, older ones stay."""

    __tablename__ = "marks"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"), index=True)
    notebook: Mapped[str]
    cell: Mapped[str]
    points: Mapped[float | None]
    """None: what the tests gave."""
    comment: Mapped[str] = mapped_column(Text)
    criteria: Mapped[list[Any]] = mapped_column(default=list)
    """Of a rubric: ``[text, points, most]`` for each criterion, as it read when they were given."""
    given_by: Mapped[str]
    given_at: Mapped[datetime]


class Certificate(Base):
    """That somebody met a course's pass rule. Its id cannot be guessed and proves it to anyone."""

    __tablename__ = "certificates"
    __table_args__ = (
        UniqueConstraint("course", "cohort", "username", name="certificates_by_cohort"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    course: Mapped[str]
    cohort: Mapped[str]
    username: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    """Of the holder as the certificate says it, from when it was first looked at; else empty."""
    titles: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The course's title by language when it was issued."""
    hours: Mapped[float] = mapped_column(default=0.0)
    """The course's length; 0: not known."""
    percent: Mapped[float]
    issued_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str]


class Job(Base):
    """Work for a worker: claimed for a while, tried again, parked with a reason."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_open", "state", "not_before"),
        Index(
            "jobs_one_open_per_target",
            "kind",
            "course",
            "cohort",
            "assignment",
            "submission_id",
            unique=True,
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """publish, grade, rescore or feedback."""
    course: Mapped[str]
    cohort: Mapped[str]
    """Empty for publishing, which is for every cohort of the course."""
    assignment: Mapped[str]
    submission_id: Mapped[str]
    """Empty for jobs of a whole assignment."""
    batch: Mapped[str] = mapped_column(index=True)
    requested_by: Mapped[str]
    state: Mapped[str]
    """queued, running, done or parked."""
    tries: Mapped[int]
    """Ended by a failure, the present one counted in."""
    lost: Mapped[int] = mapped_column(default=0)
    """Times that a worker died or went silent over it: seldom the job's own doing."""
    created_at: Mapped[datetime]
    not_before: Mapped[datetime]
    claimed_by: Mapped[str]
    claimed_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(Text)


class Score(Base):
    """One grading of one submission; a regrade adds a row, the newest counts."""

    __tablename__ = "scores"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"), index=True)
    graded_at: Mapped[datetime]
    score: Mapped[float]
    """After the late penalty."""
    max_score: Mapped[float]
    raw_score: Mapped[float]
    late_penalty: Mapped[float]
    needs_manual: Mapped[bool]
    cells: Mapped[list[Any]]
    """Per grade cell: notebook, cell, score, max, outcome, reason (for instructors)."""
    flags: Mapped[list[Any]]
    """What the detectors saw, for instructors."""
    notebooks: Mapped[dict[str, Any]]
    """Blob of the executed notebook by name."""


class Feedback(Base):
    """One rendered page of one submission's notebook."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("submission_id", "notebook"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"))
    notebook: Mapped[str]
    sha256: Mapped[str] = mapped_column(Sha256)
    score_id: Mapped[int] = mapped_column(ForeignKey("scores.id"))
    released_at: Mapped[datetime]
    released_by: Mapped[str]
