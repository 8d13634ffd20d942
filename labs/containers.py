"""What a lab's container is: a pure function from lease, lab and settings to Docker's arguments.

Naming: container ``<instance>-lab-<slug>``, home volume ``<instance>-home-<slug>``; a slug
(core.ids) is a valid Docker name for any user name and differs for different people.

No learner gets a capability, a host path but the read-only course material, a way out of the
private network, or a device but the leased one.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from docker.types import DeviceRequest, LogConfig, Mount

from core.course import Course, Lab
from core.ids import slug
from core.settings import Settings
from core.wire import Lease

HOME = "/home/learner"
USER = "1000:1000"
PORT = 8888
NO_DNS = "127.0.0.1"
"""Name server of a lab: nobody there. Docker would ask the host's for it, even on an internal
network, and so carry a learner's data out in names (CVE-2024-29018)."""
KILL_AFTER_S = 30
"""From PID 1's polite signal to its kill."""


@dataclass(frozen=True)
class Plan:
    """One container to be made. `host_config` are arguments of docker-py's create_host_config."""

    name: str
    image: str
    entrypoint: list[str]
    user: str
    working_dir: str
    environment: dict[str, str]
    labels: dict[str, str]
    host_config: dict[str, Any]
    volume: str
    """Name of the home volume, to be made with our label before the container."""
    volume_labels: dict[str, str]


def home_of(settings: Settings, username: str) -> str:
    """Name of a person's home volume."""
    return f"{settings.instance}-home-{slug(username)}"


def name_of(settings: Settings, username: str) -> str:
    """Name of this person's (only) lab container."""
    return f"{settings.instance}-lab-{slug(username)}"


def image_of(course: Course, lease: Lease | None, settings: Settings) -> str:
    """Docker image of the course's lab: its GPU image on a real GPU, else its image."""
    named = course.gpu_image if _real(lease) and course.gpu_image else course.image
    return settings.labs.images[named]


def cpus(settings: Settings) -> float:
    """CPUs of one lab: the setting, but no more than the machine has; Docker refuses more."""
    return min(settings.labs.cpus, float(os.cpu_count() or 1))


def limit_ms(lease: Lease | None, settings: Settings) -> int:
    """Longest life of the container in ms, counted from its first process."""
    return lease.limit_ms if lease else settings.usage.lab_max_minutes * 60_000


def plan(
    lease: Lease | None,
    course: Course,
    lab: Lab,
    username: str,
    language: str,
    gateway: str,
    settings: Settings,
    cohort: str = "",
) -> Plan:
    """Everything about the container of `username` for `lab`. `lease` None: no GPU.

    `gateway` is this machine's address on the labs' network. `cohort` tells the exchange in which
    of a person's cohorts they work; it gives no right.
    """
    volume = home_of(settings, username)
    return Plan(
        name=name_of(settings, username),
        image=image_of(course, lease, settings),
        entrypoint=_deadline(limit_ms(lease, settings)),
        user=USER,
        working_dir=HOME,
        environment=_environment(lease, course, lab, language, gateway, settings)
        | {"DLI_COHORT": cohort},
        labels=_labels(lease, course, lab, username, settings),
        host_config=_host_config(lease, course, language, volume, settings),
        volume=volume,
        volume_labels={
            "dli.instance": settings.instance,
            "dli.kind": "home",
            "dli.user": username,
        },
    )


def _deadline(limit: int) -> list[str]:
    """PID 1: ends the lab at `limit` ms even when the Hub, the services and the agent are gone.

    As PID 1 it cannot be killed or stopped from inside the container.
    """
    return ["timeout", "-k", str(KILL_AFTER_S), str(max(1, math.ceil(limit / 1000)))]


def _environment(
    lease: Lease | None,
    course: Course,
    lab: Lab,
    language: str,
    gateway: str,
    settings: Settings,
) -> dict[str, str]:
    site = f"http://{gateway}:{settings.ports.public}"
    environment = {
        "DLI_COURSE": course.id,
        "DLI_LAB": lab.id,
        "DLI_ASSIGNMENT": lab.assignment or "",
        "DLI_LANG": language,
        "DLI_USAGE_URL": f"{site}/services/usage",
        "DLI_GRADER_URL": f"{site}/services/grader",
        "DLI_LEASE": lease.id if lease else "",
        "DLI_SIMULATED_GPU": "1" if lease and not _real(lease) else "",
        "HOME": HOME,
    }
    if _real(lease):
        environment["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
    else:
        # CUDA images preset "all", which some NVIDIA runtimes obey without a device request.
        environment["NVIDIA_VISIBLE_DEVICES"] = "void"
    return environment


def _labels(
    lease: Lease | None, course: Course, lab: Lab, username: str, settings: Settings
) -> dict[str, str]:
    labels = {
        "dli.instance": settings.instance,
        "dli.kind": "lab",
        "dli.user": username,
        "dli.course": course.id,
        "dli.lab": lab.id,
        "dli.limit-ms": str(limit_ms(lease, settings)),
    }
    if lease:
        labels["dli.lease"] = lease.id
        # What the agent holds it to until the usage service has told it more.
        labels["dli.grant-ms"] = str(lease.grant_ms)
    return labels


def _host_config(
    lease: Lease | None, course: Course, language: str, volume: str, settings: Settings
) -> dict[str, Any]:
    memory = settings.labs.memory_mb << 20
    material = settings.state_dir / "materials" / course.id / language
    config: dict[str, Any] = {
        "auto_remove": False,  # an ended container is evidence until it has been charged
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={memory // 4}"},  # noqa: S108
        "shm_size": memory // 4,  # PyTorch's data loaders pass batches through it
        "mem_limit": memory,
        "memswap_limit": memory,  # the same: no swap
        "nano_cpus": int(cpus(settings) * 1_000_000_000),
        "pids_limit": settings.labs.pids,
        "oom_score_adj": 500,  # when the machine runs out of memory, labs go before the platform
        "network_mode": settings.network,
        "dns": [NO_DNS],
        "mounts": [
            Mount(HOME, volume, type="volume"),
            Mount("/srv/course", str(material), type="bind", read_only=True),
        ],
        "log_config": LogConfig(type="json-file", config={"max-size": "5m", "max-file": "2"}),
    }
    if lease and _real(lease):
        # One request with all ids: of two requests Docker keeps only the last, and count=1 gives
        # everybody GPU 0.
        ids = [slot.device for slot in lease.slots]
        config["device_requests"] = [DeviceRequest(device_ids=ids, capabilities=[["gpu"]])]
    return config


def _real(lease: Lease | None) -> bool:
    return lease is not None and not any(slot.simulated for slot in lease.slots)
