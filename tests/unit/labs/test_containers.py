"""What a container is allowed, by literal equality: any change of it must be read here."""

from __future__ import annotations

import os
from typing import Any

import pytest
from docker.types import DeviceRequest, LogConfig, Mount

from core.wire import Lease
from labs.containers import Plan, plan
from tests.unit.labs.things import SETTINGS, course, lab, lease, slot

HOST: dict[str, Any] = {
    "auto_remove": False,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "tmpfs": {"/tmp": "rw,exec,nosuid,nodev,mode=1777,size=536870912"},
    "shm_size": 536870912,
    "mem_limit": 2147483648,
    "memswap_limit": 2147483648,
    "nano_cpus": 1500000000,
    "oom_score_adj": 500,
    "pids_limit": 300,
    "network_mode": "t-labs",
    "dns": ["127.0.0.1"],
    "mounts": [
        Mount("/home/learner", "t-home-kim", type="volume"),
        Mount("/srv/course", "/state/materials/intro/ko", type="bind", read_only=True),
    ],
    "log_config": LogConfig(type="json-file", config={"max-size": "5m", "max-file": "2"}),
}


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)


ENVIRONMENT = {
    "DLI_COURSE": "intro",
    "DLI_COHORT": "spring",
    "DLI_LAB": "first",
    "DLI_ASSIGNMENT": "",
    "DLI_LANG": "ko",
    "DLI_USAGE_URL": "http://172.30.0.1:8000/services/usage",
    "DLI_GRADER_URL": "http://172.30.0.1:8000/services/grader",
    "DLI_LEASE": "",
    "DLI_SIMULATED_GPU": "",
    "HOME": "/home/learner",
    "NVIDIA_VISIBLE_DEVICES": "void",
}

LABELS = {
    "dli.instance": "t",
    "dli.kind": "lab",
    "dli.user": "kim",
    "dli.course": "intro",
    "dli.lab": "first",
    "dli.limit-ms": "14400000",
}

CPU = Plan(
    name="t-lab-kim",
    image="dli/lab-cpu:latest",
    entrypoint=["timeout", "-k", "30", "14400"],
    user="1000:1000",
    working_dir="/home/learner",
    environment=ENVIRONMENT,
    labels=LABELS,
    host_config=HOST,
    volume="t-home-kim",
    volume_labels={"dli.instance": "t", "dli.kind": "home", "dli.user": "kim"},
)


def made(lease: Lease | None, username: str = "kim", assignment: str | None = None) -> Plan:
    wanted = lab(assignment=assignment)
    return plan(lease, course(), wanted, username, "ko", "172.30.0.1", SETTINGS, "spring")


def test_a_lab_without_gpu() -> None:
    assert made(None) == CPU


def test_a_lab_with_two_real_gpus_has_one_device_request_with_both() -> None:
    without_void = {k: v for k, v in ENVIRONMENT.items() if k != "NVIDIA_VISIBLE_DEVICES"}
    request = DeviceRequest(device_ids=["GPU-1", "GPU-2"], capabilities=[["gpu"]])
    got = made(lease(slot("GPU-1"), slot("GPU-2")))
    assert vars(got) == vars(CPU) | {
        "image": "dli/lab-gpu:latest",
        "entrypoint": ["timeout", "-k", "30", "3600"],
        "environment": without_void
        | {"DLI_LEASE": "lease-1", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
        "labels": LABELS
        | {"dli.limit-ms": "3600000", "dli.lease": "lease-1", "dli.grant-ms": "60000"},
        "host_config": HOST | {"device_requests": [request]},
    }
    assert request["DeviceIDs"] == ["GPU-1", "GPU-2"]
    assert "Count" not in request or request["Count"] == 0


def test_a_lab_with_a_simulated_gpu_has_a_lease_and_no_device() -> None:
    got = made(lease(slot("GPU-sim-1", simulated=True)))
    assert vars(got) == vars(CPU) | {
        "entrypoint": ["timeout", "-k", "30", "3600"],
        "environment": ENVIRONMENT | {"DLI_LEASE": "lease-1", "DLI_SIMULATED_GPU": "1"},
        "labels": LABELS
        | {"dli.limit-ms": "3600000", "dli.lease": "lease-1", "dli.grant-ms": "60000"},
    }


def test_an_assignment_is_named() -> None:
    assert made(None, assignment="digits").environment["DLI_ASSIGNMENT"] == "digits"


def test_a_course_without_gpu_image_uses_its_image_on_a_gpu() -> None:
    got = plan(lease(slot()), course(None), lab(), "kim", "en", "172.30.0.1", SETTINGS)
    assert got.image == "dli/lab-cpu:latest"


@pytest.mark.parametrize("name", ["kim.min-ji", "Ä/../x", "a" * 200, "--", "kim--0123456789ab"])
def test_any_name_gives_docker_names_of_its_own(name: str) -> None:
    got = made(None, username=name)
    assert got.name.startswith("t-lab-")
    assert got.volume == "t-home-" + got.name.removeprefix("t-lab-")
    assert got.name != CPU.name
    assert len(got.name) < 60
    assert "/" not in got.volume
    assert got.labels["dli.user"] == name


def test_a_short_limit_never_becomes_no_limit() -> None:
    got = made(lease(slot(), limit_ms=1))
    assert got.entrypoint[-1] == "1"  # `timeout 0` would mean no limit


@pytest.mark.parametrize(("processors", "cpus"), [(1, 1), (2, 1.5), (None, 1)])
def test_a_lab_never_asks_for_more_processors_than_there_are(
    processors: int | None, cpus: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    host = plan(None, course(), lab(), "kim", "ko", "172.30.0.1", SETTINGS).host_config
    assert host["nano_cpus"] == cpus * 1_000_000_000
