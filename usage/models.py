"""The usage service's tables. Amounts are core.units units, held times milliseconds.

Three facts the database itself holds, whatever the code does: a spawn id has one lease, a slot has
one open lease, and an entry of the ledger is never changed or deleted (triggers in the migration).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.columns import Big, Name, UtcTime


class Base(DeclarativeBase):
    """Declarative base; `type_annotation_map` keeps the columns short."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: UtcTime,
        int: Big,
        str: Name,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


class Cohort(Base):
    """A group of learners with a pooled budget and a time window."""

    __tablename__ = "cohorts"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    organisation: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    timezone: Mapped[str]
    courses: Mapped[list[str]]
    lab_max_ms: Mapped[int | None]
    learner_cap: Mapped[int | None]
    daily_cap: Mapped[int | None]
    """Units that one learner may use on one day of the cohort's time zone; None: no such cap."""
    max_gpu_labs: Mapped[int | None]
    allowance: Mapped[int]
    """Units that instructors may still grant by themselves."""
    created_at: Mapped[datetime]
    keep_until: Mapped[datetime | None]
    """When its people's data is deleted; None: usage.keep_days after its end."""
    deletion_announced_at: Mapped[datetime | None]
    """Since when its pages say so."""
    data_deleted_at: Mapped[datetime | None]


class Person(Base):
    """Who a username is, as far as a roster or a sign-up said."""

    __tablename__ = "people"
    username: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]


class Membership(Base):
    """One person's place in one cohort. Removal keeps the row, so that history stays readable."""

    __tablename__ = "enrolments"
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), primary_key=True)
    username: Mapped[str] = mapped_column(primary_key=True, index=True)
    role: Mapped[str]
    code: Mapped[str | None]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class ConsentRow(Base):
    """One answer to one item of the consent text (core.consent). Never changed, only followed."""

    __tablename__ = "consents"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(index=True)
    item: Mapped[str]
    version: Mapped[str]
    sha256: Mapped[str]
    """Of the file that the text stood in."""
    language: Mapped[str]
    given: Mapped[bool]
    """False: refused, or withdrawn."""
    at: Mapped[datetime]


class Code(Base):
    """An event code: whoever has it may sign up into its cohort, while seats last."""

    __tablename__ = "codes"
    code: Mapped[str] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    role: Mapped[str]
    seats: Mapped[int]
    used: Mapped[int]
    expires_at: Mapped[datetime | None]
    """None: with the cohort."""
    created_at: Mapped[datetime]
    __table_args__ = (CheckConstraint("used <= seats", name="codes_seats"),)


class Account(Base):
    """What may be spent and what is: the pool (username '') or one learner's share of it.

    cap None: this account only counts. Guarded updates keep settled + reserved <= cap; what a lab
    used beyond its grant is in `settled` and, to be seen, in `overrun`.
    """

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"))
    username: Mapped[str]
    cap: Mapped[int | None]
    settled: Mapped[int]
    reserved: Mapped[int]
    overrun: Mapped[int]
    __table_args__ = (
        UniqueConstraint("cohort_id", "username"),
        CheckConstraint("reserved >= 0 AND overrun >= 0", name="accounts_signs"),
    )


class Entry(Base):
    """One line of the append-only ledger. The pool's balance is the sum of `amount`."""

    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    kind: Mapped[str]
    """grant, top-up, correction, refund (may be > 0) or charge (< 0)."""
    amount: Mapped[int]
    overrun: Mapped[int]
    """The part of a charge that lay beyond the lease's grant."""
    actor: Mapped[str]
    reason: Mapped[str] = mapped_column(String(1000))
    lease_id: Mapped[str | None] = mapped_column(index=True)
    username: Mapped[str]
    """Whose lab; empty for the pool's own entries."""
    key: Mapped[str] = mapped_column(unique=True)
    """Names the entry: the same key is booked once."""


class SlotRow(Base):
    """A slot some host reported. `present` false: no longer there, kept for history."""

    __tablename__ = "slots"
    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(index=True)
    device: Mapped[str]
    gpu: Mapped[str]
    kind: Mapped[str]
    model: Mapped[str]
    memory_mb: Mapped[int]
    weight: Mapped[int]
    profile: Mapped[str]
    healthy: Mapped[bool]
    simulated: Mapped[bool]
    present: Mapped[bool]
    drained: Mapped[bool]
    """An admin keeps new labs off it."""
    disabled: Mapped[bool] = mapped_column(default=False)
    """And running ones get no more time."""


class LeaseRow(Base):
    """The right to hold slots until `grant_ms` of held time."""

    __tablename__ = "leases"
    id: Mapped[str] = mapped_column(primary_key=True)
    spawn_id: Mapped[str] = mapped_column(unique=True)
    username: Mapped[str] = mapped_column(index=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    course: Mapped[str]
    lab: Mapped[str]
    holder: Mapped[str]
    language: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    host: Mapped[str] = mapped_column(index=True)
    slots: Mapped[list[dict[str, Any]]]
    """The slots as they were when leased."""
    weight: Mapped[int]
    grant_ms: Mapped[int]
    limit_ms: Mapped[int]
    held_ms: Mapped[int]
    """Last seen held time; never goes back."""
    posted: Mapped[int]
    """Units already in the ledger for this lease."""
    reserved: Mapped[int]
    """Units set aside for it in the accounts; 0 once ended."""
    overrun: Mapped[int]
    sequence: Mapped[int]
    """Charges posted; makes each one's key."""
    container_id: Mapped[str]
    boot_id: Mapped[str]
    """Boot of the service's machine that `created_boot_ms` and `seen_boot_ms` belong to."""
    created_boot_ms: Mapped[int]
    seen_boot_ms: Mapped[int]
    missing: Mapped[int]
    """Heartbeats of its host in a row that did not show it."""
    created_at: Mapped[datetime]
    activated_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str] = mapped_column(String(1000))
    stop_reason: Mapped[str]
    """Why the meter asked for its stop; empty while it may run."""
    prestarted: Mapped[str] = mapped_column(default="")
    """unopened: started for its learner, who has not come yet; opened: the refund of that time is
    due; empty: a lab like any other."""
    closing: Mapped[str] = mapped_column(default="")
    """Why its grant is not extended any more, though time and money are left; empty: it is."""
    idle_since_ms: Mapped[int | None]
    """Held time since when the lab's server says that nothing runs there; None: something does, or
    nobody knows."""
    gpu_quiet_since_ms: Mapped[int | None]
    """Held time since when its host knows that its GPUs compute nothing; None as above."""
    busy_ms: Mapped[int] = mapped_column(default=0)
    """Held time in which its kernels were known to work."""
    told_ms: Mapped[int] = mapped_column(default=0)
    """Held time of which the lab said whether its kernels worked."""
    told_held_ms: Mapped[int] = mapped_column(default=0)
    """Held time when it last said so."""


class LeaseSlot(Base):
    """Which slot a lease holds or held. The partial index is the last word on double leases."""

    __tablename__ = "lease_slots"
    id: Mapped[int] = mapped_column(primary_key=True)
    lease_id: Mapped[str] = mapped_column(ForeignKey("leases.id"), index=True)
    slot_id: Mapped[str] = mapped_column(ForeignKey("slots.id"))
    open: Mapped[bool]
    __table_args__ = (
        Index(
            "one_open_lease_per_slot",
            "slot_id",
            unique=True,
            sqlite_where=text("open"),
            postgresql_where=text("open"),
        ),
    )


class Notice(Base):
    """A warning that a lab will stop. `live` false: the stop moved away again."""

    __tablename__ = "warnings"
    id: Mapped[str] = mapped_column(primary_key=True)
    lease_id: Mapped[str] = mapped_column(ForeignKey("leases.id"), index=True)
    reason: Mapped[str]
    threshold_ms: Mapped[int]
    left_ms: Mapped[int]
    """Estimated time left when the warning was made."""
    live: Mapped[bool]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    """First handed to the lab or to a page."""
    seen_at: Mapped[datetime | None]
    """The person closed it."""


class Request(Base):
    """A learner asks for more GPU time; an instructor or admin decides."""

    __tablename__ = "requests"
    id: Mapped[str] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    username: Mapped[str]
    lease_id: Mapped[str | None]
    minutes: Mapped[int]
    note: Mapped[str] = mapped_column(String(1000))
    state: Mapped[str]
    """open, granted or declined."""
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str]


class Wait(Base):
    """Somebody in the queue for a GPU, or how their waiting ended."""

    __tablename__ = "waits"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(index=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"))
    course: Mapped[str]
    lab: Mapped[str]
    need: Mapped[dict[str, Any]]
    language: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    """waiting, offered, started, left, missed (the offer passed) or dropped (may not start)."""
    open: Mapped[bool]
    """waiting or offered."""
    slots: Mapped[list[dict[str, Any]]]
    """What is held for this person while offered."""
    boot_id: Mapped[str]
    offered_boot_ms: Mapped[int]
    joined_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "one_open_wait_per_person",
            "username",
            unique=True,
            sqlite_where=text("open"),
            postgresql_where=text("open"),
        ),
    )


class Window(Base):
    """GPU places that a cohort has for itself at a stated time."""

    __tablename__ = "windows"
    id: Mapped[str] = mapped_column(primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    seats: Mapped[int]
    need: Mapped[dict[str, Any]]
    course: Mapped[str] = mapped_column(default="")
    lab: Mapped[str] = mapped_column(default="")
    """The lab to start for its learners before it begins; empty: places only."""
    prestarted: Mapped[bool] = mapped_column(default=False)
    """Those starts were ordered."""
    made_by: Mapped[str]
    removed_at: Mapped[datetime | None]
