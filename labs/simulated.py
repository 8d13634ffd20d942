"""A pretended GPU inventory, for a machine without NVML, from one line of text.

Grammar, groups divided by ``;``::

    2x NVIDIA H100 80GB, MIG 7; 1x NVIDIA L4 24GB

`MIG k` cuts each GPU into k equal slices as an 80 GB H100 can be cut: 7, 3, 2 or 1.
"""

from __future__ import annotations

import hashlib
import re

from core.units import WHOLE, weight_of
from core.wire import Slot

EXAMPLE = "2x NVIDIA H100 80GB, MIG 7"

_GROUP = re.compile(
    r"(?P<count>[1-9]\d?)x (?P<model>[A-Za-z][A-Za-z0-9]*(?:[ -][A-Za-z0-9]+)*?) "
    r"(?P<memory>[1-9]\d{0,3}) ?GB(?:, MIG (?P<mig>\d)(?: each)?)?"
)

_MIG_SHAPES = {7: (1, 1), 3: (2, 2), 2: (3, 4), 1: (7, 8)}
"""Slices per GPU -> (compute slices of 7, memory slices of 8) of each, as NVIDIA's profiles."""


class SimulationError(ValueError):
    """`gpus.simulated` cannot be read: which part, and an example of a right one."""


def parse(text: str, host: str, seats: int) -> list[Slot]:
    """Slots for `text`. `seats` (1..8) divides each GPU without MIG into time-slice seats.

    Ids depend only on `host` and the text, so that a restart finds the same slots. Raises
    SimulationError.
    """
    slots: list[Slot] = []
    number = 0
    for part in text.split(";"):
        group = _GROUP.fullmatch(part.strip())
        if group is None:
            raise SimulationError(
                f"gpus.simulated: cannot read {part.strip()!r}; write for example {EXAMPLE!r}"
            )
        mig = group["mig"]
        if mig and int(mig) not in _MIG_SHAPES:
            raise SimulationError(
                f"gpus.simulated: MIG {mig} in {part.strip()!r}; a GPU is cut into 7, 3, 2 or 1 "
                f"equal slices, for example {EXAMPLE!r}"
            )
        model = f"{group['model']} {group['memory']}GB"
        for _ in range(int(group["count"])):
            gpu = f"GPU-sim-{_token(host, model)}-{number}"
            memory_gb = int(group["memory"])
            if mig:
                slots += _slices(gpu, host, model, memory_gb, int(mig))
            else:
                slots += split_seats(gpu, host, model, memory_gb * 1024, seats, simulated=True)
            number += 1
    return slots


def split_seats(
    gpu: str, host: str, model: str, memory_mb: int, seats: int, *, simulated: bool
) -> list[Slot]:
    """A whole GPU as one slot, or as `seats` time-slice seats that share it.

    Seats have no memory isolation: `memory_mb` of a seat is its fair part, not a limit.
    """
    if seats == 1:
        return [Slot(gpu, gpu, gpu, host, "whole", model, memory_mb, WHOLE, simulated=simulated)]
    weight = weight_of(1, seats)
    return [
        Slot(
            id=f"{gpu}#{seat}",
            device=gpu,
            gpu=gpu,
            host=host,
            kind="seat",
            model=model,
            memory_mb=memory_mb // seats,
            weight=weight,
            profile=f"seat {seat + 1}/{seats}",
            simulated=simulated,
        )
        for seat in range(seats)
    ]


def _slices(gpu: str, host: str, model: str, memory_gb: int, count: int) -> list[Slot]:
    compute, eighths = _MIG_SHAPES[count]
    slice_gb = memory_gb * eighths // 8
    slots = []
    for number in range(count):
        uuid = f"MIG-sim-{gpu.removeprefix('GPU-sim-')}-{count}-{number}"
        slots.append(
            Slot(
                id=uuid,
                device=uuid,
                gpu=gpu,
                host=host,
                kind="mig",
                model=model,
                memory_mb=memory_gb * 1024 * eighths // 8,
                weight=weight_of(compute, 7),
                profile=f"{compute}g.{slice_gb}gb",
                simulated=True,
            )
        )
    return slots


def _token(host: str, model: str) -> str:
    return hashlib.sha256(f"{host}\0{model}".encode()).hexdigest()[:8]
