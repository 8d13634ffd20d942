"""Small courses and leases for this room's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.course import Course, Gpu, Lab, Minutes, Text
from core.settings import Settings
from core.wire import Lease, Slot

SETTINGS = Settings(
    instance="t",
    state_dir=Path("/state"),
    courses_dir=Path("/courses"),
    ports={"public": 8000},
    labs={"memory_mb": 2048, "cpus": 1.5, "pids": 300},
    usage={"lab_max_minutes": 240},
)


def lab(need: str = "optional", assignment: str | None = None) -> Lab:
    return Lab(
        id="first",
        title=Text(en="First", ko="처음"),
        minutes=Minutes(cpu=10, gpu=5),
        gpu=Gpu(need=need),
        assignment=assignment,
    )


def course(gpu_image: str | None = "lab-gpu") -> Course:
    return Course(
        id="intro",
        title=Text(en="Intro", ko="입문"),
        summary=Text(en="s", ko="s"),
        hours=1,
        image="lab-cpu",
        gpu_image=gpu_image,
        labs=[lab()],
        folder=Path("/courses/intro"),
    )


def slot(device: str = "GPU-1", **more: Any) -> Slot:
    return Slot(device, device, device, "host-1", "whole", "NVIDIA H100", 81559, 840, **more)


def lease(*slots: Slot, grant_ms: int = 60_000, limit_ms: int = 3_600_000) -> Lease:
    return Lease(
        "lease-1", "kim", "autumn", "intro", "first", "reserved", list(slots), 840, grant_ms,
        limit_ms,
    )  # fmt: skip
