"""Shapes that cross a process border, as plain dataclasses, so that lab images can import them.

FastAPI takes and returns them as they are; `from_json` rebuilds one on the client's side and
ignores keys it does not know, so that an older lab image keeps working.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Role = Literal["trainee", "assistant", "instructor", "admin"]
Isolation = Literal["exclusive", "mig", "shared"]
SlotKind = Literal["whole", "mig", "seat"]
SlotMode = Literal["open", "drained", "disabled"]
LeaseState = Literal["reserved", "active", "ended"]


def from_json(kind: type[T], data: dict[str, Any]) -> T:
    """Build `kind` from decoded JSON. Nested shapes are built by their owners' `from_json`."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in data.items() if key in known})


@dataclass(frozen=True)
class Slot:
    """One thing a lab can hold: a whole GPU, a MIG slice, or a time-slice seat of a GPU.

    `id` is unique for ever ("<device uuid>" or "<device uuid>#<seat>"); `device` is the UUID that
    goes into the container's device request; `gpu` the UUID of the physical GPU it lies on.
    """

    id: str
    device: str
    gpu: str
    host: str
    kind: SlotKind
    model: str
    memory_mb: int
    weight: int
    """Share of a GPU in 1/840 (core.units.WHOLE)."""
    profile: str = ""
    healthy: bool = True
    simulated: bool = False


@dataclass(frozen=True)
class GpuNeed:
    """What a lab asks for, from course.toml."""

    isolation: Isolation = "mig"
    memory_mb: int = 0
    count: int = 1


@dataclass(frozen=True)
class ReserveRequest:
    """Start of a GPU lab, asked by the spawner. `spawn_id` makes a retry harmless."""

    spawn_id: str
    username: str
    cohort: str
    course: str
    lab: str
    need: GpuNeed
    language: str = "en"
    holder: Literal["server", "kernel", "grading"] = "server"


@dataclass(frozen=True)
class Lease:
    """The right to hold slots until `grant_ms` of held time is used."""

    id: str
    username: str
    cohort: str
    course: str
    lab: str
    state: LeaseState
    slots: list[Slot]
    weight: int
    grant_ms: int
    """Held time granted so far, in ms from the container's start. Grows by renewal."""
    limit_ms: int
    """Held time after which no renewal can come (lab maximum, cohort end)."""

    @staticmethod
    def from_json(data: dict[str, Any]) -> Lease:
        """Rebuild from decoded JSON."""
        lease = from_json(Lease, data)
        return Lease(**{**vars(lease), "slots": [from_json(Slot, s) for s in data["slots"]]})


@dataclass(frozen=True)
class Refusal:
    """Why something cannot be done. `message` is a whole sentence in the reader's language."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SeenContainer:
    """One lab container as the agent on its host saw it."""

    container_id: str
    lease_id: str
    held_ms: int
    """Age of the container's first process by the boot clock; last known age once it ended."""
    running: bool
    gpu_quiet_ms: int | None = None
    """For so long its GPUs are known to have computed nothing for it; None: they do, or nobody
    knows."""


@dataclass(frozen=True)
class StrayProcess:
    """A process that holds a GPU without a lease for it."""

    gpu: str
    device: str
    pid: int
    name: str
    container: str
    """Empty: in no container."""
    memory_mb: int | None
    why: str
    """no_container, no_lease (a container that is no lab with a lease) or not_its_gpu."""


@dataclass(frozen=True)
class Observation:
    """What an agent reports at each heartbeat."""

    boot_id: str
    containers: list[SeenContainer]
    strays: list[StrayProcess] = field(default_factory=list)
    looked: bool = True
    """False: Docker has not answered since the last report, so a lab that just started is missing
    here although it runs."""


@dataclass(frozen=True)
class LeaseOrder:
    """What an agent must hold a container to."""

    lease_id: str
    grant_ms: int
    """Stop the container when its held time reaches this."""
    stop: bool = False
    """Stop now (lease ended or unknown)."""
    reason: str = ""


@dataclass(frozen=True)
class Enrolment:
    """One person's place in one cohort, and what that cohort offers."""

    cohort: str
    role: Role
    courses: list[str]
    open: bool
    """Within the cohort's start and end."""


@dataclass(frozen=True)
class LabWarning:
    """A warning for the person in a running lab."""

    id: str
    reason: str
    seconds_left: int
    message: str


@dataclass(frozen=True)
class LabStatus:
    """What the JupyterLab status bar shows. Times are whole seconds of held time."""

    gpu: str
    """Slot in words, e.g. "NVIDIA H100 80GB 1g.10gb"; empty in a CPU lab."""
    simulated: bool
    seconds_left: int | None
    """Until this lab stops; None in a CPU lab."""
    stop_reason: str
    """Why it stops then, in the reader's language: "the cohort's budget", "longest lab time"…"""
    budget_gpu_seconds: int
    """Left in the pooled budget, in seconds of a whole GPU."""
    warnings: list[LabWarning]
    mark: str = ""
    """Another one: something to show has changed (see the usage service's status call)."""
