"""The life of a lease: reserve, activate, release. Each runs inside one write transaction.

A lease is ``reserved`` from the Start button until the lab runs, then ``active``, then ``ended``.
Only held time is charged, so a start that failed has cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from core import clock
from core.ids import new_id
from core.units import units
from core.wire import Lease, ReserveRequest, Slot, from_json
from usage import accounts, grants, ledger, machines
from usage.models import Cohort, LeaseRow, LeaseSlot, Membership
from usage.placement import NoPlace, place
from usage.refusals import No
from usage.stops import DueStop

OPEN = ("reserved", "active")

UNOPENED, OPENED = "unopened", "opened"
"""LeaseRow.prestarted (see usage.prestart)."""
UNUSED = "unused"
"""Why a prestarted lab that nobody opened is stopped."""

MOST_HELD_MS = 366 * 86_400_000
"""No lab is held for longer than a year: a larger held time is a mistake."""


@dataclass(frozen=True)
class Rules:
    """The settings that decide about leases, in milliseconds."""

    window_ms: int
    """GPU time reserved ahead."""
    lab_max_ms: int
    free_failure_ms: int
    start_timeout_ms: int
    """A lease that is not active by then has failed."""
    warn_ms: list[int]
    offer_ms: int = 120_000
    """How long a free slot is held for the next in the queue."""
    idle_ms: int = 0
    """A lab idle for so long is stopped; 0: never."""
    prestart_lead_ms: int = 600_000
    """So long before a reserved window its labs are started."""
    prestart_grace_ms: int = 900_000
    """A prestarted lab that nobody opened is returned so long after its class began."""
    prestart_at_once: int = 4
    """Prestarts under way at the same time."""


@dataclass(frozen=True)
class Clock:
    """Where time comes from; tests put their own in."""

    now: Callable[[], datetime] = clock.now
    boot_ms: Callable[[], int] = clock.boot_ms
    boot_id: Callable[[], str] = clock.boot_id


def as_lease(row: LeaseRow) -> Lease:
    """The wire shape of a lease."""
    return Lease(
        id=row.id,
        username=row.username,
        cohort=row.cohort_id,
        course=row.course,
        lab=row.lab,
        state=row.state,  # type: ignore[arg-type]
        slots=[from_json(Slot, slot) for slot in row.slots],
        weight=row.weight,
        grant_ms=row.grant_ms,
        limit_ms=row.limit_ms,
    )


def held_now(row: LeaseRow, time: Clock) -> int:
    """Estimated held time: last seen, plus the monotonic time since; for warnings and stops only,
    never for a charge."""
    if row.boot_id != time.boot_id() or row.seen_boot_ms == 0:
        return row.held_ms
    return row.held_ms + max(0, time.boot_ms() - row.seen_boot_ms)


def until(moment: datetime, time: Clock) -> int:
    """Milliseconds from now to `moment`; negative when it has passed."""
    return int((moment - time.now()).total_seconds() * 1000)


def get(session: Session, lease_id: str) -> LeaseRow:
    """The lease. Raises No for an unknown id."""
    row = session.get(LeaseRow, lease_id)
    if row is None:
        raise No("lease_unknown", lease=lease_id)
    return row


def member_of(session: Session, cohort_id: str, username: str) -> tuple[Cohort, Membership]:
    """Cohort and place of this person. Raises No when there is none."""
    mine = and_(Membership.cohort_id == Cohort.id, Membership.username == username)
    query = select(Cohort, Membership).outerjoin(Membership, mine).where(Cohort.id == cohort_id)
    found = session.execute(query).first()
    if found is None:
        raise No("cohort_unknown", cohort=cohort_id)
    cohort, membership = found
    if membership is None or membership.removed_at is not None:
        raise No("not_enrolled", cohort=cohort.name)
    return cohort, membership


def reserve(
    session: Session,
    ask: ReserveRequest,
    rules: Rules,
    time: Clock,
    kept: Sequence[Slot] = (),
    coming: int = 0,
) -> LeaseRow:
    """A lease for this start; the same one again for the same spawn id. Raises No.

    `kept` are slots kept for others, `coming` labs of this cohort that are about to start.
    """
    known, failed = _earlier(session, ask)
    if known is not None:
        if known.state == "ended":
            raise No("lease_ended", reason=known.end_reason)
        return known
    cohort = _cohort_for(session, ask, time)
    for row in failed:
        end(session, row, None, "start_abandoned", True, rules, time)
    slots = _place_in(session, cohort, ask, time, kept, coming)
    return _write(session, ask, cohort, slots, rules, time)


def _cohort_for(session: Session, ask: ReserveRequest, time: Clock) -> Cohort:
    """The cohort that pays. Grading belongs to a course and not to a member. Raises No."""
    if ask.holder != "grading":
        return check_enrolment(session, ask.cohort, ask.username, ask.course, time)
    cohort = session.get(Cohort, ask.cohort)
    if cohort is None:
        raise No("cohort_unknown", cohort=ask.cohort)
    return check_open(cohort, ask.course, time)


def _earlier(session: Session, ask: ReserveRequest) -> tuple[LeaseRow | None, list[LeaseRow]]:
    """The lease of this very start, and those of starts that failed: a person has one server, so a
    new start proves that an older one never came up."""
    starting = and_(
        LeaseRow.username == ask.username,
        LeaseRow.state == "reserved",
        LeaseRow.holder == "server",
    )
    rows = session.scalars(
        select(LeaseRow).where(or_(LeaseRow.spawn_id == ask.spawn_id, starting))
    ).all()
    known = next((row for row in rows if row.spawn_id == ask.spawn_id), None)
    return known, list(rows) if ask.holder == "server" else []


def check_place(
    session: Session, ask: ReserveRequest, time: Clock, kept: Sequence[Slot] = (), coming: int = 0
) -> list[Slot]:
    """The slots this start would get now. Raises No."""
    cohort = check_enrolment(session, ask.cohort, ask.username, ask.course, time)
    return _place_in(session, cohort, ask, time, kept, coming)


def _place_in(
    session: Session,
    cohort: Cohort,
    ask: ReserveRequest,
    time: Clock,
    kept: Sequence[Slot],
    coming: int,
) -> list[Slot]:
    if cohort.max_gpu_labs is not None:
        busy = _count_open(session, cohort.id) + coming
        if busy >= cohort.max_gpu_labs:
            raise No("cohort_busy", cohort=cohort.name, limit=cohort.max_gpu_labs)
    present, closed, held = machines.inventory_and_held(session)
    found = place(present, [*held, *kept], ask.need, closed)
    if isinstance(found, NoPlace):
        raise No(f"gpu_{found.code}", wait_seconds=_expected_wait(session, time))
    return found


def check_enrolment(
    session: Session, cohort_id: str, username: str, course: str, time: Clock
) -> Cohort:
    """The cohort, when this person may use it for this course now. Raises No."""
    cohort, _ = member_of(session, cohort_id, username)
    return check_open(cohort, course, time)


def check_open(cohort: Cohort, course: str, time: Clock) -> Cohort:
    """The cohort, when this course may be taken in it now. Raises No."""
    if course not in cohort.courses:
        raise No("course_not_offered", cohort=cohort.name, course=course)
    if until(cohort.starts_at, time) > 0:
        raise No("cohort_not_started", cohort=cohort.name, at=cohort.starts_at)
    if until(cohort.ends_at, time) <= 0:
        raise No("cohort_ended", cohort=cohort.name, at=cohort.ends_at)
    return cohort


def _count_open(session: Session, cohort_id: str) -> int:
    query = select(func.count()).select_from(LeaseRow)
    query = query.where(LeaseRow.cohort_id == cohort_id, LeaseRow.state.in_(OPEN))
    return session.scalar(query) or 0


def _expected_wait(session: Session, time: Clock) -> int:
    """Seconds until the first open lease must end at the latest."""
    rows = session.scalars(select(LeaseRow).where(LeaseRow.state.in_(OPEN))).all()
    return min((max(0, r.limit_ms - held_now(r, time)) // 1000 for r in rows), default=0)


def _write(
    session: Session,
    ask: ReserveRequest,
    cohort: Cohort,
    slots: list[Slot],
    rules: Rules,
    time: Clock,
) -> LeaseRow:
    weight = sum(slot.weight for slot in slots)
    limit_ms = min(cohort.lab_max_ms or rules.lab_max_ms, until(cohort.ends_at, time))
    money = accounts.funds_today(session, cohort, ask.username, time.now())
    grant_ms = grants.first_grant(weight, limit_ms, money, rules.window_ms)
    amount = units(grant_ms, weight)
    if grant_ms == 0 or not accounts.reserve(session, cohort.id, ask.username, amount):
        raise _no_money(cohort, money, limit_ms)
    row = LeaseRow(
        id=new_id("lease"),
        spawn_id=ask.spawn_id,
        username=ask.username,
        cohort_id=cohort.id,
        course=ask.course,
        lab=ask.lab,
        holder=ask.holder,
        language=ask.language,
        state="reserved",
        host=slots[0].host,
        slots=[asdict(slot) for slot in slots],
        weight=weight,
        grant_ms=grant_ms,
        limit_ms=limit_ms,
        held_ms=0,
        posted=0,
        reserved=amount,
        overrun=0,
        sequence=0,
        container_id="",
        boot_id=time.boot_id(),
        created_boot_ms=time.boot_ms(),
        seen_boot_ms=0,
        missing=0,
        created_at=time.now(),
        end_reason="",
        stop_reason="",
        idle_since_ms=None,
    )
    session.add(row)
    session.add_all(LeaseSlot(lease_id=row.id, slot_id=slot.id, open=True) for slot in slots)
    session.flush()
    return row


def _no_money(cohort: Cohort, money: grants.Funds, limit_ms: int) -> No:
    if limit_ms < grants.MIN_START_MS:
        return No("cohort_ended", cohort=cohort.name, at=cohort.ends_at)
    if money.learner is not None and money.learner < money.pool:
        code = "daily_cap_used" if money.by_day else "learner_cap_used"
        return No(code, cohort=cohort.name, left=max(0, money.learner))
    return No("budget_used", cohort=cohort.name, left=max(0, money.pool))


def activate(session: Session, lease_id: str, container_id: str, time: Clock) -> LeaseRow:
    """The lab runs; again is harmless. Raises No when the lease has ended."""
    row = get(session, lease_id)
    if row.state == "ended":
        raise No("lease_ended", reason=row.end_reason)
    if row.state == "reserved":
        row.state = "active"
        row.activated_at = time.now()
        row.missing = 0
        if row.seen_boot_ms == 0:
            see(row, row.held_ms, time)
    row.container_id = container_id or row.container_id
    session.flush()
    return row


def see(row: LeaseRow, held_ms: int, time: Clock) -> None:
    """Note a held time that was seen. A smaller one than before is a late report: ignored."""
    if held_ms >= row.held_ms:
        row.held_ms = held_ms
        row.boot_id, row.seen_boot_ms = time.boot_id(), time.boot_ms()


def release(
    session: Session,
    lease_id: str,
    held_ms: int | None,
    reason: str,
    platform_fault: bool,
    rules: Rules,
    time: Clock,
) -> None:
    """End the lease. Again is harmless. Raises No for an unknown lease or a negative time."""
    if held_ms is not None and held_ms < 0:
        raise No("held_negative", held_ms=held_ms)
    if held_ms is not None and held_ms > MOST_HELD_MS:
        raise No("number_out_of_range", field="held_ms", value=held_ms, least=0, most=MOST_HELD_MS)
    row = get(session, lease_id)
    if row.state != "ended":
        end(session, row, held_ms, reason, platform_fault, rules, time)


def end(
    session: Session,
    row: LeaseRow,
    held_ms: int | None,
    reason: str,
    platform_fault: bool,
    rules: Rules,
    time: Clock,
) -> None:
    """Settle the lease to `held_ms` (None: as last seen), free its slots and its reservation.

    What the platform broke within its first minutes is free: uncharged, or charged and refunded.
    """
    now = time.now()
    if held_ms is not None and held_ms > row.held_ms:
        row.held_ms = held_ms
    ours = platform_fault or row.stop_reason == "lost_host"
    free = (ours and row.held_ms <= rules.free_failure_ms) or row.prestarted != ""
    if not free:
        ledger.charge(session, row, now)
    elif (charged := ledger.lease_charged(session, row)) > 0:
        key = f"refund:{row.id}:platform"
        ledger.refund(session, row, charged, "meter", f"platform fault: {reason}", key, now)
    ledger.give_back(session, row)
    session.execute(update(LeaseSlot).where(LeaseSlot.lease_id == row.id).values(open=False))
    row.state = "ended"
    row.ended_at = now
    row.end_reason = (row.stop_reason or reason)[:1000]
    session.flush()


def due_stop(session: Session, row: LeaseRow) -> DueStop:
    """What the meter needs to know to stop the lab of this lease and no other."""
    later = select(LeaseRow.id).where(
        LeaseRow.username == row.username,
        LeaseRow.holder == "server",
        LeaseRow.state.in_(OPEN),
        # By the boot clock: the wall clock may have been set back meanwhile.
        or_(
            LeaseRow.boot_id != row.boot_id,
            LeaseRow.created_boot_ms > row.created_boot_ms,
        ),
    )
    return DueStop(
        lease_id=row.id,
        username=row.username,
        reason=row.stop_reason,
        cohort=row.cohort_id,
        course=row.course,
        lab=row.lab,
        created_at=row.created_at,
        newest=row.holder == "server" and session.scalar(later.limit(1)) is None,
    )


def drop_overdue_starts(session: Session, rules: Rules, time: Clock) -> list[str]:
    """Free leases whose lab did not come up in time; their ids."""
    rows = session.scalars(select(LeaseRow).where(LeaseRow.state == "reserved")).all()
    overdue = [
        row
        for row in rows
        if row.boot_id != time.boot_id()  # this machine restarted, and with it the start
        or time.boot_ms() - row.created_boot_ms > rules.start_timeout_ms
    ]
    for row in overdue:
        end(session, row, None, "start_timeout", True, rules, time)
    return [row.id for row in overdue]
