"""Which GPUs this machine has, as slots that a lab can hold.

Asked through NVML. A machine without NVML (no driver, no GPU) may pretend some GPUs by the setting
`gpus.simulated`; those slots say so. What NVML does not support on a device is unknown, and unknown
is never read as "healthy hardware is broken" nor as "idle".
"""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pynvml

from core.settings import Settings
from core.units import weight_of
from core.wire import Slot
from labs import nvml, simulated


class InventoryError(RuntimeError):
    """NVML is there and does not work: what it said and what to do."""


def host_name() -> str:
    """This machine's name in the inventory."""
    return platform.node() or "localhost"


def read(settings: Settings, host: str | None = None) -> list[Slot]:
    """Every slot of this machine. Empty: no GPU and none simulated.

    Raises InventoryError (NVML broken) or simulated.SimulationError (setting unreadable).
    """
    host = host or host_name()
    real = read_nvml(host, settings.gpus.seats)
    found = real or []
    if not real and settings.gpus.simulated:
        found = simulated.parse(settings.gpus.simulated, host, settings.gpus.seats)
    return [weighed(slot, settings.gpus.factors) for slot in found]


def weighed(slot: Slot, factors: Mapping[str, str]) -> Slot:
    """The slot with its model's factor in its weight, rounded up to a whole 1/840 of a GPU.

    `factors` go by how a model's name begins; the longest that fits counts.
    """
    fitting = [name for name in factors if slot.model.startswith(name)]
    if not fitting:
        return slot
    factor = Fraction(factors[max(fitting, key=len)])
    return replace(slot, weight=math.ceil(slot.weight * factor))


def read_nvml(host: str, seats: int) -> list[Slot] | None:
    """Slots of the real GPUs; None when this machine has no NVML. Raises InventoryError."""
    try:
        with nvml.session() as there:
            return _slots(host, seats) if there else None
    except pynvml.NVMLError as error:
        raise InventoryError(
            f"NVML does not start: {error}; check the NVIDIA driver with nvidia-smi"
        ) from error


def _slots(host: str, seats: int) -> list[Slot]:
    slots: list[Slot] = []
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            slots += _gpu_slots(index, host, seats)
    except pynvml.NVMLError as error:
        raise InventoryError(f"NVML does not list the GPUs: {error}") from error
    return slots


def _gpu_slots(index: int, host: str, seats: int) -> list[Slot]:
    found = nvml.handle(index)
    if found is None:
        return []
    handle, uuid = found
    model = nvml.text(pynvml.nvmlDeviceGetName(handle))
    if nvml.mig_on(handle):
        return _mig_slots(handle, uuid, host, model)
    memory_mb = _memory_mb(handle)
    slots = simulated.split_seats(uuid, host, model, memory_mb or 0, seats, simulated=False)
    if memory_mb is not None and _sound(handle):
        return slots
    return [Slot(**{**vars(slot), "healthy": False}) for slot in slots]


def _mig_slots(handle: Any, uuid: str, host: str, model: str) -> list[Slot]:
    of = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    healthy = _sound(handle)
    slots = []
    for device in nvml.slices(handle):
        shape = pynvml.nvmlDeviceGetAttributes(device)
        slices, memory_mb = int(shape.gpuInstanceSliceCount), int(shape.memorySizeMB)
        slot_id = nvml.uuid(device)
        slots.append(
            Slot(
                id=slot_id,
                device=slot_id,
                gpu=uuid,
                host=host,
                kind="mig",
                model=model,
                memory_mb=memory_mb,
                weight=weight_of(slices, of),
                profile=_profile(device, slices, memory_mb),
                healthy=healthy,
            )
        )
    return slots


def _profile(device: Any, slices: int, memory_mb: int) -> str:
    name = nvml.or_unknown(pynvml.nvmlDeviceGetName, device)
    found = re.search(r"\b\d+g\.\d+gb(\+\w+)?\b", nvml.text(name) if name else "")
    return found[0] if found else f"{slices}g.{round(memory_mb / 1024)}gb"


def _memory_mb(handle: Any) -> int | None:
    """Memory of a GPU in MiB; None when the GPU does not answer, which a sound one always does."""
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) >> 20
    except pynvml.NVMLError:
        return None


def _sound(handle: Any) -> bool:
    """False when the GPU says that memory rows can no longer be repaired, or is lost."""
    try:
        rows = nvml.or_unknown(pynvml.nvmlDeviceGetRemappedRows, handle)
    except pynvml.NVMLError:
        return False
    return rows is None or not rows[3]  # (correctable, uncorrectable, pending, failure)
