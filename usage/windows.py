"""Reserved windows: GPU places that a cohort has for itself at a stated time.

While a window lasts, so many places as its labs do not use yet are kept: other cohorts' starts and
queued people get what is left. Labs of others that run when it begins are not stopped; places are
kept as they come free. A window begins to keep places LEAD_MS before it starts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.ids import new_id
from core.wire import GpuNeed, Slot, from_json
from usage.leases import Clock
from usage.machines import inventory
from usage.models import Cohort, Window
from usage.placement import NoPlace, place
from usage.queue import Holding
from usage.refusals import No

LEAD_MS = 10 * 60_000
"""Places that come free this long before a window are kept for it already."""

LONGEST = timedelta(days=7)


def kept(
    session: Session,
    present: Sequence[Slot],
    closed: frozenset[str],
    holdings: Sequence[Holding],
    time: Clock,
) -> dict[str, tuple[Slot, ...]]:
    """Free slots that each cohort with a window now has for itself."""
    wanted = [(r.cohort_id, r.seats, from_json(GpuNeed, r.need)) for r in current(session, time)]
    return keep(wanted, present, closed, holdings)


def current(session: Session, time: Clock) -> list[Window]:
    """The windows that keep places now, in order."""
    now = time.now()
    return list(
        session.scalars(
            select(Window)
            .where(
                Window.removed_at.is_(None),
                Window.starts_at <= now + timedelta(milliseconds=LEAD_MS),
                Window.ends_at > now,
            )
            .order_by(Window.starts_at, Window.id)
        ).all()
    )


def keep(
    wanted: Sequence[tuple[str, int, GpuNeed]],
    present: Sequence[Slot],
    closed: frozenset[str],
    holdings: Sequence[Holding],
) -> dict[str, tuple[Slot, ...]]:
    """Pure part of `kept`: (cohort, seats, need) of each window, in order. What a cohort's labs
    hold already counts against its seats."""
    taken = [slot for holding in holdings for slot in holding.slots]
    labs = Counter(holding.cohort for holding in holdings)
    found: dict[str, tuple[Slot, ...]] = {}
    for cohort, seats, need in wanted:
        for _ in range(max(0, seats - labs[cohort])):
            slots = place(present, taken, need, closed)
            if isinstance(slots, NoPlace):
                break
            taken += slots
            found[cohort] = (*found.get(cohort, ()), *slots)
    return found


def add(
    session: Session,
    cohort_id: str,
    starts: datetime,
    ends: datetime,
    seats: int,
    need: GpuNeed,
    actor: str,
    time: Clock,
) -> Window:
    """Reserve places. Raises No when the time is wrong or all windows together need more places
    than there are."""
    cohort = session.get(Cohort, cohort_id)
    if cohort is None:
        raise No("cohort_unknown", cohort=cohort_id)
    if ends <= starts or ends - starts > LONGEST or ends <= time.now():
        raise No("window_time")
    if starts < cohort.starts_at or ends > cohort.ends_at:
        raise No("window_outside", cohort=cohort.name)
    if not 1 <= seats <= 1000:
        raise No("number_out_of_range", field="seats", value=seats, least=1, most=1000)
    same_time = session.scalars(
        select(Window).where(
            Window.removed_at.is_(None), Window.starts_at < ends, Window.ends_at > starts
        )
    ).all()
    if any(row.cohort_id == cohort_id for row in same_time):
        raise No("window_overlaps", cohort=cohort.name)
    wanted = [(row.cohort_id, row.seats, from_json(GpuNeed, row.need)) for row in same_time]
    _check_room(session, [*wanted, (cohort_id, seats, need)])
    row = Window(
        id=new_id("window"),
        cohort_id=cohort_id,
        starts_at=starts,
        ends_at=ends,
        seats=seats,
        need=asdict(need),
        made_by=actor,
        removed_at=None,
    )
    session.add(row)
    session.flush()
    return row


def _check_room(session: Session, wanted: list[tuple[str, int, GpuNeed]]) -> None:
    """Windows at the same time must fit beside each other on the GPUs that are there now."""
    found = keep(wanted, *inventory(session), ())
    for cohort, seats, need in wanted:
        places = len(found.get(cohort, ())) // need.count
        if places < seats:
            raise No("window_too_large", seats=seats, places=places)


def remove(session: Session, window_id: str, cohort_id: str, time: Clock) -> None:
    """Give a window up; harmless when it is given up already. Raises No for an unknown one."""
    row = session.get(Window, window_id)
    if row is None or row.cohort_id != cohort_id:
        raise No("window_unknown")
    row.removed_at = row.removed_at or time.now()
