"""The queue for GPUs in the database: join, leave, offer, and what a person may see of it.

An offer holds slots for one person for a bounded time; nobody else's start gets them, however it
comes in. Every start deals free slots out first, so a newcomer only ever finds what nobody in the
queue could use. The order is usage.queue's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.wire import GpuNeed, ReserveRequest, Slot, from_json
from store.columns import flag
from usage import accounts, grants, queue, windows
from usage.leases import OPEN, Clock, Rules, check_enrolment, held_now
from usage.machines import inventory
from usage.models import Cohort, LeaseRow, Wait
from usage.refusals import No

QUEUE_CODES = ("gpu_full", "cohort_busy")
"""Refusals that waiting can help against."""

_LINE = select(Wait).where(flag(Wait.open)).order_by(Wait.id)
_MISSED_SHOWN_MS = 30 * 60_000


@dataclass(frozen=True)
class Kept:
    """What a start may not take: slots kept for others, and labs of its cohort about to start."""

    slots: tuple[Slot, ...] = ()
    labs: int = 0


@dataclass(frozen=True)
class Place:
    """One person's waiting as it is shown. Times in milliseconds."""

    cohort: str
    course: str
    lab: str
    state: str
    """waiting, offered or missed."""
    position: int
    """1 is next; 0 unless waiting."""
    length: int
    wait_ms: int | None
    """Until a GPU is free at the latest; None when nothing can be said."""
    offer_left_ms: int


def line(session: Session) -> list[Wait]:
    """Everybody in the queue, first come first."""
    return list(session.scalars(_LINE).all())


def _of(waits: Iterable[Wait], username: str) -> Wait | None:
    return next((row for row in waits if row.open and row.username == username), None)


def join(session: Session, ask: ReserveRequest, time: Clock) -> None:
    """Put a person in the queue. Again keeps the place; another cohort or need starts anew."""
    row = _of(line(session), ask.username)
    need = asdict(ask.need)
    if row is not None and (row.cohort_id, row.need) == (ask.cohort, need):
        row.course, row.lab, row.language = ask.course, ask.lab, ask.language
        return
    if row is not None:
        _close(row, "left", time)
        session.flush()
    session.add(
        Wait(
            username=ask.username,
            cohort_id=ask.cohort,
            course=ask.course,
            lab=ask.lab,
            need=need,
            language=ask.language,
            state="waiting",
            open=True,
            slots=[],
            boot_id="",
            offered_boot_ms=0,
            joined_at=time.now(),
        )
    )
    session.flush()


def leave(waits: Iterable[Wait], username: str, state: str, time: Clock) -> None:
    """End a person's waiting as `state`; harmless when there is none."""
    row = _of(waits, username)
    if row is not None:
        _close(row, state, time)


def _close(row: Wait, state: str, time: Clock) -> None:
    row.state, row.open, row.ended_at = state, False, time.now()


def _offer_left(row: Wait, rules: Rules, time: Clock) -> int:
    if row.boot_id != time.boot_id():
        return 0
    return max(0, row.offered_boot_ms + rules.offer_ms - time.boot_ms())


def scene(session: Session, waits: Iterable[Wait], rules: Rules, time: Clock) -> queue.Scene:
    """GPUs, open leases and open offers as the queue sees them."""
    holdings = [
        queue.Holding(
            row.cohort_id,
            tuple(from_json(Slot, slot) for slot in row.slots),
            max(0, row.limit_ms - held_now(row, time)),
        )
        for row in session.scalars(select(LeaseRow).where(LeaseRow.state.in_(OPEN))).all()
    ] + [
        queue.Holding(row.cohort_id, _slots_of(row), rules.lab_max_ms)
        for row in waits
        if row.state == "offered"
    ]
    limits = session.execute(
        select(Cohort.id, Cohort.max_gpu_labs).where(Cohort.max_gpu_labs.is_not(None))
    ).all()
    present, closed = inventory(session)
    return queue.Scene(
        tuple(present),
        closed,
        tuple(holdings),
        {cohort: int(most or 0) for cohort, most in limits},
        windows.kept(session, present, closed, holdings, time),
    )


def _slots_of(row: Wait) -> tuple[Slot, ...]:
    return tuple(from_json(Slot, slot) for slot in row.slots)


def _waiters(waits: Iterable[Wait]) -> list[queue.Waiter]:
    return [
        queue.Waiter(row.id, row.cohort_id, from_json(GpuNeed, row.need), row.id)
        for row in waits
        if row.state == "waiting"
    ]


def deal(session: Session, waits: list[Wait], rules: Rules, time: Clock) -> list[str]:
    """Take back offers whose time is over and offer free slots; who got an offer now."""
    if not waits:
        return []
    for row in waits:
        if row.state == "offered" and _offer_left(row, rules, time) == 0:
            _close(row, "missed", time)
    offered: list[str] = []
    while True:
        waits = [row for row in waits if row.open]
        found = queue.next_offers(_waiters(waits), scene(session, waits, rules, time))
        rows = {row.id: row for row in waits}
        barred = [
            offer for offer in found if not _may_start(session, rows[offer.waiter.id], offer, time)
        ]
        for offer in barred:
            _close(rows[offer.waiter.id], "dropped", time)
        if not barred:
            break
    for offer in found:
        row = rows[offer.waiter.id]
        row.state, row.slots = "offered", [asdict(slot) for slot in offer.slots]
        row.boot_id, row.offered_boot_ms = time.boot_id(), time.boot_ms()
        offered.append(row.username)
    session.flush()
    return offered


def _may_start(session: Session, row: Wait, offer: queue.Offer, time: Clock) -> bool:
    """Still a member of an open cohort, with GPU time for a start."""
    try:
        check_enrolment(session, row.cohort_id, row.username, row.course, time)
    except No:
        return False
    holder = session.get_one(Cohort, row.cohort_id)
    money = accounts.funds_today(session, holder, row.username, time.now())
    weight = sum(slot.weight for slot in offer.slots)
    return grants.first_grant(weight, grants.MIN_START_MS, money, grants.MIN_START_MS) > 0


def kept_from(
    session: Session, waits: Iterable[Wait], ask: ReserveRequest, rules: Rules, time: Clock
) -> Kept:
    """What this start may not take because others have it offered or reserved."""
    others = [row for row in waits if row.state == "offered" and row.username != ask.username]
    slots = [slot for row in others for slot in _slots_of(row)]
    if windows.current(session, time):
        for cohort, kept in scene(session, others, rules, time).kept.items():
            slots += kept if cohort != ask.cohort else ()
    return Kept(tuple(slots), Counter(row.cohort_id for row in others)[ask.cohort])


def outlooks(session: Session, rules: Rules, time: Clock) -> dict[int, queue.Outlook]:
    """Everybody's place in the queue, by the id of their wait."""
    waits = line(session)
    waiting = _waiters(waits)
    if not waiting:
        return {}
    return queue.outlook(waiting, scene(session, waits, rules, time), rules.lab_max_ms)


def place_of(
    session: Session,
    username: str,
    looks: dict[int, queue.Outlook],
    rules: Rules,
    time: Clock,
) -> Place | None:
    """One person's waiting; None when they do not wait and missed no offer lately."""
    row = session.scalar(
        select(Wait).where(Wait.username == username).order_by(Wait.id.desc()).limit(1)
    )
    if row is None or (not row.open and not _missed_lately(row, time)):
        return None
    look = looks.get(row.id, queue.Outlook(0, None))
    return Place(
        cohort=row.cohort_id,
        course=row.course,
        lab=row.lab,
        state=row.state,
        position=look.position,
        length=max(look.position, len(looks)),
        wait_ms=look.wait_ms,
        offer_left_ms=_offer_left(row, rules, time) if row.state == "offered" else 0,
    )


def _missed_lately(row: Wait, time: Clock) -> bool:
    if row.state != "missed" or row.ended_at is None:
        return False
    return 0 <= (time.now() - row.ended_at).total_seconds() * 1000 < _MISSED_SHOWN_MS
