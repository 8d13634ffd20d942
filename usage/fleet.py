"""What the admin's page about machines shows: GPUs with their holders, all labs, the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.wire import Slot, SlotMode
from usage import grants, heartbeat, waiting
from usage.hub import Server
from usage.leases import OPEN, Clock, Rules, held_now
from usage.machines import as_slot, mode_of
from usage.models import Cohort, LeaseRow, LeaseSlot, SlotRow, Wait
from usage.queue import Outlook


@dataclass(frozen=True)
class SlotLine:
    """One GPU slot with who holds it."""

    slot: Slot
    mode: SlotMode
    holder: str
    lease: str


@dataclass(frozen=True)
class Gpu:
    """A physical GPU and its slots."""

    id: str
    host: str
    model: str
    healthy: bool
    simulated: bool
    slots: list[SlotLine]

    @property
    def held(self) -> int:
        """Slots in use."""
        return sum(bool(line.holder) for line in self.slots)


@dataclass(frozen=True)
class LabLine:
    """One running or starting lab."""

    username: str
    cohort: str
    course: str
    lab: str
    state: str
    gpu: str
    """Slot ids, separated by blanks; empty: without a GPU."""
    held_ms: int | None
    left_ms: int | None
    reason: str
    """Why it stops when it does, as a code."""
    started: datetime | None


@dataclass(frozen=True)
class WaitLine:
    """Somebody in the queue."""

    username: str
    cohort: str
    course: str
    lab: str
    state: str
    since: datetime
    position: int
    wait_ms: int | None


@dataclass(frozen=True)
class Fleet:
    """Everything on the page."""

    gpus: list[Gpu]
    labs: list[LabLine]
    waits: list[WaitLine]
    hub_known: bool
    """False: the Hub did not answer, so labs without a GPU are missing."""


def gather(
    session: Session,
    servers: dict[str, Server] | None,
    outlooks: dict[int, Outlook],
    rules: Rules,
    time: Clock,
) -> Fleet:
    """The fleet now."""
    names = {row.id: row.name for row in session.scalars(select(Cohort))}
    return Fleet(
        gpus(session),
        _labs(session, servers or {}, names, rules, time),
        [_wait(row, outlooks.get(row.id), names) for row in waiting.line(session)],
        servers is not None,
    )


def gpus(session: Session) -> list[Gpu]:
    """Every GPU that a host has now."""
    held = {
        slot: (username, lease)
        for slot, username, lease in session.execute(
            select(LeaseSlot.slot_id, LeaseRow.username, LeaseRow.id)
            .join(LeaseRow, LeaseRow.id == LeaseSlot.lease_id)
            .where(LeaseSlot.open)
        )
    }
    found: dict[str, Gpu] = {}
    rows = session.scalars(
        select(SlotRow).where(SlotRow.present).order_by(SlotRow.host, SlotRow.gpu, SlotRow.id)
    )
    for row in rows:
        gpu = found.setdefault(
            row.gpu, Gpu(row.gpu, row.host, row.model, row.healthy, row.simulated, [])
        )
        holder, lease = held.get(row.id, ("", ""))
        gpu.slots.append(SlotLine(as_slot(row), mode_of(row), holder, lease))
    return list(found.values())


def _labs(
    session: Session,
    servers: dict[str, Server],
    names: dict[str, str],
    rules: Rules,
    time: Clock,
) -> list[LabLine]:
    leases = session.scalars(
        select(LeaseRow).where(LeaseRow.state.in_(OPEN)).order_by(LeaseRow.created_at)
    ).all()
    lines = [
        _gpu_lab(session, row, servers.get(row.username), names, rules, time) for row in leases
    ]
    with_gpu = {row.username for row in leases}
    lines += [
        LabLine(
            username=username,
            cohort=names.get(server.options.get("cohort", ""), ""),
            course=server.options.get("course", ""),
            lab=server.options.get("lab", ""),
            state="active" if server.state == "ready" else server.state,
            gpu="",
            held_ms=None,
            left_ms=None,
            reason="",
            started=server.started,
        )
        for username, server in sorted(servers.items())
        if username not in with_gpu
    ]
    return lines


def _gpu_lab(
    session: Session,
    row: LeaseRow,
    server: Server | None,
    names: dict[str, str],
    rules: Rules,
    time: Clock,
) -> LabLine:
    stop: grants.Stop | None = None
    if row.state == "active":
        stop = heartbeat.forecast(session, row, rules, time)
    return LabLine(
        username=row.username,
        cohort=names.get(row.cohort_id, row.cohort_id),
        course=row.course,
        lab=row.lab,
        state=row.state,
        gpu=" ".join(str(slot["id"]) for slot in row.slots),
        held_ms=held_now(row, time),
        left_ms=stop.in_ms if stop else None,
        reason=stop.reason if stop else "",
        started=server.started if server else row.activated_at,
    )


def _wait(row: Wait, look: Outlook | None, names: dict[str, str]) -> WaitLine:
    return WaitLine(
        username=row.username,
        cohort=names.get(row.cohort_id, row.cohort_id),
        course=row.course,
        lab=row.lab,
        state=row.state,
        since=row.joined_at,
        position=look.position if look else 0,
        wait_ms=look.wait_ms if look else None,
    )
