"""What becomes of prestarted labs. Each function runs inside one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.ids import new_id
from store.columns import flag
from usage import views
from usage.leases import OPEN, OPENED, UNOPENED, Clock, Rules, until
from usage.models import LeaseRow, Membership, Window
from usage.prestart.models import Prestart
from usage.refusals import No

MOST_MINUTES = 24 * 60


@dataclass(frozen=True)
class Batch:
    """How a batch of prestarted labs stands: how many learners are in each state."""

    id: str
    cohort: str
    course: str
    lab: str
    made_by: str
    return_at: datetime
    states: dict[str, int]

    @property
    def going_on(self) -> bool:
        """Some are still to be started or wait to be opened."""
        return any(self.states.get(state) for state in ("waiting", "asked", "ready"))


@dataclass(frozen=True)
class Order:
    """Which lab is to be started for whom, and when it is returned unless it was opened."""

    cohort: str
    course: str
    lab: str
    actor: str
    return_at: datetime


def begin(
    session: Session, order: Order, time: Clock, seats: int | None = None, batch: str = ""
) -> str:
    """Note that the labs of this cohort's trainees are to be started; the id of the batch.

    Left out are those who have a lab or are about to get one. `seats`: at most so many. Raises No.
    """
    cohort = views.cohort(session, order.cohort)
    if order.course not in cohort.courses:
        raise No("course_not_offered", cohort=cohort.name, course=order.course)
    if until(cohort.starts_at, time) > 0:
        raise No("cohort_not_started", cohort=cohort.name, at=cohort.starts_at)
    if until(cohort.ends_at, time) <= 0:
        raise No("cohort_ended", cohort=cohort.name, at=cohort.ends_at)
    batch = batch or new_id("prestart")
    for username in _without_lab(session, cohort.id)[:seats]:
        session.add(
            Prestart(
                batch=batch,
                cohort_id=cohort.id,
                username=username,
                course=order.course,
                lab=order.lab,
                state="waiting",
                open=True,
                detail="",
                made_by=order.actor,
                created_at=time.now(),
                return_at=order.return_at,
                boot_id="",
                asked_boot_ms=0,
            )
        )
    session.flush()
    return batch


def _without_lab(session: Session, cohort_id: str) -> Sequence[str]:
    """Trainees in the order of their enrolment who have no GPU lab and none prestarted."""
    busy = select(LeaseRow.username).where(LeaseRow.state.in_(OPEN))
    coming = select(Prestart.username).where(flag(Prestart.open))
    return session.scalars(
        select(Membership.username)
        .where(Membership.cohort_id == cohort_id, Membership.role == "trainee")
        .where(Membership.removed_at.is_(None))
        .where(Membership.username.not_in(busy), Membership.username.not_in(coming))
        .order_by(Membership.created_at, Membership.username)
    ).all()


def due_windows(session: Session, rules: Rules, time: Clock) -> Sequence[Window]:
    """Windows whose class is near and whose labs are not ordered yet."""
    now = time.now()
    return session.scalars(
        select(Window).where(
            Window.removed_at.is_(None),
            Window.lab != "",
            Window.prestarted.is_(False),
            Window.starts_at <= now + timedelta(milliseconds=rules.prestart_lead_ms),
            Window.ends_at > now,
        )
    ).all()


def open_windows(session: Session, rules: Rules, time: Clock) -> list[str]:
    """Begin the batches of windows whose class is near; the windows' ids."""
    now, near = time.now(), due_windows(session, rules, time)
    for window in near:
        window.prestarted = True
        taken = session.scalar(
            select(func.count())
            .select_from(LeaseRow)
            .where(LeaseRow.cohort_id == window.cohort_id, LeaseRow.state.in_(OPEN))
        )
        return_at = max(window.starts_at, now) + timedelta(milliseconds=rules.prestart_grace_ms)
        order = Order(window.cohort_id, window.course, window.lab, window.made_by, return_at)
        try:
            begin(session, order, time, max(0, window.seats - (taken or 0)), window.id)
        except No:
            continue  # the cohort no longer has the course; its window keeps the places
    session.flush()
    return [window.id for window in near]


def going_on(session: Session, state: str) -> list[Prestart]:
    """Rows in this state, first come first."""
    query = select(Prestart).where(flag(Prestart.open), Prestart.state == state)
    return list(session.scalars(query.order_by(Prestart.id)).all())


def of(session: Session, username: str) -> Prestart | None:
    """The open row of a person."""
    return session.scalar(
        select(Prestart).where(flag(Prestart.open), Prestart.username == username)
    )


def asked(row: Prestart, time: Clock) -> None:
    """The Hub is about to be asked for it."""
    row.state, row.boot_id, row.asked_boot_ms = "asked", time.boot_id(), time.boot_ms()


def asked_for_ms(row: Prestart, time: Clock) -> int:
    """How long ago the Hub was asked; very long when this machine restarted meanwhile."""
    if row.boot_id != time.boot_id():
        return MOST_MINUTES * 60_000
    return time.boot_ms() - row.asked_boot_ms


def close(row: Prestart, state: str, time: Clock, detail: str = "") -> None:
    """It ended as `state`."""
    row.state, row.open, row.ended_at, row.detail = state, False, time.now(), detail[:255]


def leased(session: Session, lease: LeaseRow, time: Clock) -> None:
    """A start got its lease: note it when it is a prestart's.

    Its longest time counts from when it may be opened, so that nobody loses any by it.
    """
    row = of(session, lease.username)
    if row is None or lease.holder != "server" or row.lease_id == lease.id:
        return
    if row.state != "asked" or (row.cohort_id, row.course, row.lab) != (
        lease.cohort_id,
        lease.course,
        lease.lab,
    ):
        close(row, "skipped", time)  # the person was quicker, or chose another lab
        return
    row.lease_id, lease.prestarted = lease.id, UNOPENED
    cohort = views.cohort(session, lease.cohort_id)
    waits_ms = max(0, until(row.return_at, time))
    lease.limit_ms = min(lease.limit_ms + waits_ms, until(cohort.ends_at, time))
    session.flush()


def refused(session: Session, username: str, code: str, wait: bool, time: Clock) -> bool:
    """A start was refused. True: it was a prestart's, and nobody is there to wait in a queue."""
    row = of(session, username)
    if row is None or row.state != "asked":
        return False
    if wait:
        row.state = "waiting"
    else:
        close(row, "failed", time, code)
    return True


def opened(session: Session, username: str, time: Clock) -> bool:
    """The person is in their lab. True: it was a prestarted one, opened now for the first time."""
    row = of(session, username)
    if row is None or row.state == "waiting":
        return False
    if row.lease_id is not None:
        lease = session.get_one(LeaseRow, row.lease_id)
        lease.prestarted = OPENED if lease.state != "ended" else lease.prestarted
    close(row, "opened", time)
    session.flush()
    return True


def unused(session: Session, time: Clock) -> list[LeaseRow]:
    """Leases of labs whose grace is over without anybody having opened them."""
    rows = session.scalars(
        select(Prestart).where(flag(Prestart.open), Prestart.lease_id.is_not(None))
    ).all()
    late = [row.lease_id for row in rows if until(row.return_at, time) <= 0]
    if not late:
        return []
    query = select(LeaseRow).where(LeaseRow.id.in_(late), LeaseRow.prestarted == UNOPENED)
    return list(session.scalars(query.where(LeaseRow.state == "active")).all())


def note_ends(session: Session, time: Clock) -> None:
    """Close the rows whose lease has ended."""
    rows = session.execute(
        select(Prestart, LeaseRow)
        .join(LeaseRow, LeaseRow.id == Prestart.lease_id)
        .where(flag(Prestart.open), LeaseRow.state == "ended")
    ).all()
    for row, lease in rows:
        failed = lease.activated_at is None
        close(row, "failed" if failed else "returned", time, lease.end_reason if failed else "")


def cancel(session: Session, cohort_id: str, time: Clock) -> int:
    """Start no more for this cohort and return what nobody has opened; how many."""
    rows = session.scalars(
        select(Prestart).where(flag(Prestart.open), Prestart.cohort_id == cohort_id)
    ).all()
    for row in rows:
        if row.state == "waiting":
            close(row, "skipped", time)
        else:
            row.return_at = time.now()
    session.flush()
    return len(rows)


def batches(session: Session, cohort_id: str, limit: int = 10) -> list[Batch]:
    """The cohort's batches, the newest first."""
    rows = session.scalars(
        select(Prestart).where(Prestart.cohort_id == cohort_id).order_by(Prestart.id.desc())
    ).all()
    found: dict[str, Batch] = {}
    for row in rows:
        known = found.setdefault(
            row.batch,
            Batch(row.batch, cohort_id, row.course, row.lab, row.made_by, row.return_at, Counter()),
        )
        known.states[row.state] = known.states.get(row.state, 0) + 1
    return list(found.values())[:limit]


def people(session: Session, batch: str) -> list[Prestart]:
    """The rows of a batch by username."""
    query = select(Prestart).where(Prestart.batch == batch).order_by(Prestart.username)
    return list(session.scalars(query).all())
