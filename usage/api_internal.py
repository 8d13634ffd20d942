"""The API for our own processes, by key: Hub (key-hub), agents (key-agent), worker, command line.

Refusals are answered 409 with a `core.wire.Refusal`; a body of the wrong shape 422.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from core.wire import (
    Enrolment,
    Lease,
    LeaseOrder,
    Observation,
    ReserveRequest,
    Role,
    Slot,
    SlotMode,
)
from usage import texts
from usage.client import Budget, Charge, CohortCourses, CohortMember, CohortSpec, ConsentGiven
from usage.prestart.rows import Batch
from usage.service import Usage
from web.auth import internal

router = APIRouter(prefix="/api/internal")

Hub = Annotated[str, Depends(internal("key-hub"))]
Holder = Annotated[str, Depends(internal("key-hub", "key-worker"))]
Agent = Annotated[str, Depends(internal("key-agent"))]
Releaser = Annotated[str, Depends(internal("key-hub", "key-agent", "key-worker"))]
Reader = Annotated[str, Depends(internal("key-hub", "key-worker", "key-cli"))]
Cli = Annotated[str, Depends(internal("key-cli"))]

_NOTHING = 204


def usage_of(request: Request) -> Usage:
    """The service behind this application."""
    found = request.app.state.usage
    assert isinstance(found, Usage)
    return found


def zone_of(request: Request) -> str:
    """The zone in which sentences give times."""
    return str(request.app.state.settings.site.timezone)


Service = Annotated[Usage, Depends(usage_of)]
Zone = Annotated[str, Depends(zone_of)]


@dataclass
class Activation:
    """Body of activate."""

    container_id: str


@dataclass
class Release:
    """Body of release."""

    held_ms: int | None
    reason: str
    platform_fault: bool = False


@dataclass
class CodeCheck:
    """Body of check_sign_up."""

    code: str
    username: str
    email: str = ""
    language: str = "en"


@dataclass
class SignUp:
    """Body of sign_up."""

    code: str
    username: str
    consent: ConsentGiven
    email: str = ""
    name: str = ""


@dataclass
class CodeSpec:
    """Body of create_code."""

    cohort: str
    seats: int
    expires: str = ""
    role: Role = "trainee"


@dataclass
class Enrol:
    """Body of enrol."""

    cohort: str
    username: str
    role: Role = "trainee"
    email: str = ""
    name: str = ""


@dataclass
class Booking:
    """Body of grant."""

    amount: int
    actor: str
    reason: str
    key: str
    kind: str = "grant"


@router.put("/hosts/{host}/inventory", status_code=_NOTHING)
def put_inventory(
    host: str, slots: list[Slot], service: Service, zone: Zone, _caller: Agent
) -> Response:
    """Which slots a host has now."""
    with texts.speaking("en", zone):
        service.put_inventory(host, slots)
    return Response(status_code=_NOTHING)


@dataclass
class SlotState:
    """Body of set_slot_mode. `device`: id of a slot, or of a GPU for all its slots."""

    device: str
    mode: SlotMode
    actor: str = "cli"
    reason: str = ""


@router.put("/slots")
def set_slot_mode(body: SlotState, service: Service, zone: Zone, _caller: Cli) -> list[str]:
    """Open, drain or disable; the ids of the slots."""
    with texts.speaking("", zone):
        return service.set_slot_mode(body.device, body.mode, body.actor, body.reason)


@router.post("/hosts/{host}/observations")
def observe(
    host: str, report: Observation, service: Service, zone: Zone, _caller: Agent
) -> list[LeaseOrder]:
    """A heartbeat, answered with an order per container."""
    with texts.speaking("en", zone):
        return service.observe(host, report)


@router.post("/leases")
def reserve(ask: ReserveRequest, service: Service, zone: Zone, caller: Holder) -> Lease:
    """A lease for a start. The worker's are for grading, and only the worker's."""
    if (caller == "key-worker") != (ask.holder == "grading"):
        raise HTTPException(403, "only the grading worker holds GPUs for grading, and only for it")
    with texts.speaking(ask.language, zone):
        return service.reserve(ask)


@router.post("/leases/{lease_id}/activate")
def activate(
    lease_id: str, body: Activation, service: Service, zone: Zone, _caller: Holder
) -> Lease:
    """The lab runs."""
    with texts.speaking("en", zone):
        return service.activate(lease_id, body.container_id)


@router.post("/leases/{lease_id}/release", status_code=_NOTHING)
def release(
    lease_id: str, body: Release, service: Service, zone: Zone, _caller: Releaser
) -> Response:
    """End a lease."""
    with texts.speaking("en", zone):
        service.release(lease_id, body.held_ms, body.reason, body.platform_fault)
    return Response(status_code=_NOTHING)


@router.post("/codes/check", status_code=_NOTHING)
def check_sign_up(body: CodeCheck, service: Service, zone: Zone, _caller: Hub) -> Response:
    """Whether an event code can be used by this person."""
    with texts.speaking(body.language, zone):
        service.check_sign_up(body.code, body.username, body.email)
    return Response(status_code=_NOTHING)


@router.post("/codes/sign-up")
def sign_up(
    request: Request, body: SignUp, service: Service, zone: Zone, _caller: Hub
) -> Enrolment:
    """Take a seat and record the consent."""
    with texts.speaking(body.consent.language, zone):
        text = request.app.state.consent
        return service.sign_up(body.code, body.username, body.email, body.name, text, body.consent)


@router.get("/enrolments")
def enrolments(username: str, service: Service, _caller: Reader) -> list[Enrolment]:
    """The cohorts of a person."""
    return service.enrolments(username)


@router.put("/enrolments", status_code=_NOTHING)
def enrol(body: Enrol, service: Service, zone: Zone, _caller: Cli) -> Response:
    """Put a person into a cohort."""
    with texts.speaking("", zone):
        service.enrol(body.cohort, body.username, body.role, body.email, body.name)
    return Response(status_code=_NOTHING)


@router.get("/cohorts")
def all_cohorts(service: Service, _caller: Reader) -> list[CohortCourses]:
    """Every cohort with its courses."""
    return service.all_cohorts()


@router.get("/cohorts/{cohort}/members")
def members(cohort: str, service: Service, _caller: Reader) -> list[CohortMember]:
    """The people of a cohort."""
    return service.members(cohort)


@router.put("/cohorts/{cohort}", status_code=_NOTHING)
def put_cohort(
    cohort: str, spec: CohortSpec, service: Service, zone: Zone, _caller: Cli
) -> Response:
    """Create or change a cohort."""
    with texts.speaking("", zone):
        service.put_cohort(CohortSpec(**{**vars(spec), "id": cohort}))
    return Response(status_code=_NOTHING)


@router.put("/codes/{code}", status_code=_NOTHING)
def put_code(code: str, body: CodeSpec, service: Service, zone: Zone, _caller: Cli) -> Response:
    """Create or change an event code."""
    with texts.speaking("", zone):
        service.put_code(code, body.cohort, body.seats, body.expires, body.role)
    return Response(status_code=_NOTHING)


@router.post("/cohorts/{cohort}/entries")
def book(cohort: str, body: Booking, service: Service, zone: Zone, _caller: Cli) -> Budget:
    """Book into the pool."""
    with texts.speaking("", zone):
        return service.book(cohort, body.kind, body.amount, body.actor, body.reason, body.key)


@router.get("/cohorts/{cohort}/budget")
def budget(cohort: str, service: Service, zone: Zone, _caller: Cli) -> Budget:
    """The pooled account."""
    with texts.speaking("", zone):
        return service.budget(cohort)


@router.get("/cohorts/{cohort}/charges")
def charges(cohort: str, service: Service, zone: Zone, _caller: Cli) -> list[Charge]:
    """What each lease cost."""
    with texts.speaking("", zone):
        return service.charges(cohort)


@dataclass
class PrestartOrder:
    """Body of prestart. `minutes`: returned then unless opened; None: the setting's grace."""

    course: str
    lab: str
    actor: str = "cli"
    minutes: int | None = None


@router.post("/cohorts/{cohort}/prestarts")
def prestart(
    cohort: str, body: PrestartOrder, service: Service, zone: Zone, _caller: Cli
) -> dict[str, str]:
    """Start a lab for every trainee of the cohort who has none; the id of the batch."""
    with texts.speaking("", zone):
        batch = service.prestart(cohort, body.course, body.lab, body.actor, body.minutes)
    return {"batch": batch}


@router.get("/cohorts/{cohort}/prestarts")
def prestarts(cohort: str, service: Service, _caller: Cli) -> list[Batch]:
    """The cohort's last batches, the newest first."""
    return service.prestarts(cohort)


@router.delete("/cohorts/{cohort}/prestarts")
def cancel_prestart(cohort: str, service: Service, _caller: Cli) -> dict[str, int]:
    """Start no more, return what nobody has opened; how many labs that concerns."""
    return {"labs": service.cancel_prestart(cohort, "cli")}
