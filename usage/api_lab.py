"""The API for labs, by the lab's own token: time left, warnings, asking for more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from core.units import gpu_seconds
from core.wire import LabStatus, LabWarning
from usage import heartbeat, texts, views
from usage.api_internal import Service, Zone
from usage.classroom import activity as activities
from usage.classroom import announcements
from usage.classroom.activity import Counters
from usage.leases import Clock
from usage.models import LeaseRow, Notice
from usage.pulse import Pulse
from usage.service import Usage
from web.auth import Person, lab_token

router = APIRouter(prefix="/api/me")
Me = Annotated[Person, Depends(lab_token)]


@dataclass
class Ask:
    """Body of a request for more GPU time (minutes of a whole GPU)."""

    minutes: int
    note: str = ""


LONGEST_WAIT_S = 30.0


@router.get("/status")
async def status(
    request: Request,
    service: Service,
    zone: Zone,
    me: Me,
    lang: str = "",
    known: str = "",
    wait: float = 0.0,
) -> LabStatus:
    """Time left of this person's lab, and warnings that were not closed yet.

    With `known` (the `mark` of the last answer) it is answered when something has changed, or after
    `wait` seconds: a lab learns of a warning at once without asking all the time.
    """
    pulse: Pulse = request.app.state.pulse
    mark = await pulse.mark_after(me.name, known, min(wait, LONGEST_WAIT_S) if known else 0.0)
    found = await run_in_threadpool(_status, service, zone, me.name, lang)
    return replace(found, mark=mark)


def _status(service: Usage, zone: str, username: str, lang: str) -> LabStatus:
    service.note_opened(username)  # JupyterLab in the person's browser asks this
    with texts.speaking(lang, zone):
        found = lab_status(service, username)
        told = _announced(service, username, zone)
        return replace(found, warnings=[*found.warnings, *told])


@router.post("/warnings/{warning_id}/seen", status_code=204)
def seen(warning_id: str, service: Service, me: Me) -> Response:
    """The person closed a warning or an announcement. Somebody else's is silently left alone."""
    with service.database.write() as session:
        if warning_id.startswith(announcements.PREFIX):
            announcements.close(session, warning_id, me.name, service.clock)
            return Response(status_code=204)
        row = session.get(Notice, warning_id)
        if row is not None and session.get_one(LeaseRow, row.lease_id).username == me.name:
            row.seen_at = row.seen_at or service.clock.now()
    return Response(status_code=204)


@dataclass
class Activity:
    """What a lab's own server says: whether anything computes there, and since when nothing did."""

    busy: bool
    idle_seconds: float = 0.0
    runs: int = 0
    """Cells run in the last minutes (usage.classroom.activity.MINUTES), and what failed of them."""
    errors: int = 0
    checks: int = 0
    """Validations of an assignment."""
    failed_checks: int = 0


@router.post("/activity", status_code=204)
def activity(body: Activity, service: Service, zone: Zone, me: Me) -> Response:
    """A lab says every minute whether it computes, and how many cells failed.

    Without these a lab is never taken for idle.
    """
    if body.busy:
        service.note_opened(me.name)
    service.note_activity(me.name, body.busy, body.idle_seconds)
    counted = Counters(body.runs, body.errors, body.checks, body.failed_checks)
    with texts.speaking("", zone), service.database.write() as session:
        activities.note(session, me.name, body.busy, body.idle_seconds, counted, service.clock)
    return Response(status_code=204)


@router.post("/requests", status_code=204)
def ask(body: Ask, service: Service, zone: Zone, me: Me, lang: str = "") -> Response:
    """Ask the cohort's instructors for more."""
    with texts.speaking(lang, zone):
        service.ask_for_more(me.name, body.minutes, body.note)
    return Response(status_code=204)


def lab_status(service: Usage, username: str) -> LabStatus:
    """The status bar's content; notes first delivery of warnings."""
    clock = service.clock
    with service.database.read() as session:
        lease = views.open_lease(session, username)
        if lease is None:
            return _without_gpu(session, username, clock)
        stop = heartbeat.forecast(session, lease, service.rules, clock)
        waiting = _waiting(session, lease)
        left = max(0, views.budget(session, lease.cohort_id).left)
        answer = LabStatus(
            gpu=gpu_words(lease),
            simulated=any(slot.get("simulated") for slot in lease.slots),
            seconds_left=stop.in_ms // 1000,
            stop_reason=texts.reason(stop.reason),
            budget_gpu_seconds=int(gpu_seconds(left)),
            warnings=[_as_warning(row, stop.in_ms) for row in waiting],
        )
    _note_delivery(service, [row.id for row in waiting if row.delivered_at is None])
    return answer


def _announced(service: Usage, username: str, zone: str) -> list[LabWarning]:
    """What staff told everybody and this person's lab has not shown yet."""
    with service.database.read() as session:
        found = announcements.unseen(session, username, service.clock)
    return [LabWarning(a.id, announcements.PREFIX, 0, announcements.words(a, zone)) for a in found]


def gpu_words(lease: LeaseRow) -> str:
    """The slots of a lease in words, for example "NVIDIA H100 80GB 1g.10gb"."""
    names = [f"{s['model']} {s.get('profile', '')}".strip() for s in lease.slots]
    return names[0] if len(set(names)) == 1 and len(names) == 1 else f"{len(names)}x {names[0]}"


def _without_gpu(session: Session, username: str, clock: Clock) -> LabStatus:
    cohort = views.cohort_in_use(session, username, clock)
    left = max(0, views.budget(session, cohort).left) if cohort else 0
    return LabStatus("", False, None, "", int(gpu_seconds(left)), [])


def _waiting(session: Session, lease: LeaseRow) -> list[Notice]:
    query = select(Notice).where(Notice.lease_id == lease.id, Notice.live, Notice.seen_at.is_(None))
    return list(session.scalars(query.order_by(Notice.threshold_ms)).all())


def _as_warning(row: Notice, left_ms: int) -> LabWarning:
    seconds = left_ms // 1000
    return LabWarning(row.id, row.reason, seconds, texts.warning(row.reason, seconds))


def _note_delivery(service: Usage, ids: list[str]) -> None:
    if not ids:
        return
    with service.database.write() as session:
        for row in session.scalars(select(Notice).where(Notice.id.in_(ids))).all():
            row.delivered_at = row.delivered_at or service.clock.now()
