"""Which GPUs this machine has, as slots that a lab can hold.

Asked through NVML. A machine without NVML (no driver, no GPU) may pretend some GPUs by the setting
`gpus.simulated`; those slots say so. What NVML does not support on a device is unknown, and unknown
is never read as "healthy hardware is broken" nor as "idle".
"""

from __future__ import annotations

import platform
import re
from typing import Any

import pynvml

from core.settings import Settings
from core.units import weight_of
from core.wire import Slot
from labs import simulated

_ABSENT = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
}
_UNKNOWN = {
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_NO_DATA,
}


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
    if real or not settings.gpus.simulated:
        return real or []
    return simulated.parse(settings.gpus.simulated, host, settings.gpus.seats)


def read_nvml(host: str, seats: int) -> list[Slot] | None:
    """Slots of the real GPUs; None when this machine has no NVML. Raises InventoryError."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value in _ABSENT:
            return None
        raise InventoryError(
            f"NVML does not start: {error}; check the NVIDIA driver with nvidia-smi"
        ) from error
    try:
        slots: list[Slot] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            slots += _gpu_slots(index, host, seats)
        return slots
    except pynvml.NVMLError as error:
        raise InventoryError(f"NVML does not list the GPUs: {error}") from error
    finally:
        pynvml.nvmlShutdown()


def _gpu_slots(index: int, host: str, seats: int) -> list[Slot]:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
    except pynvml.NVMLError as error:
        # A GPU that fell off the bus has no name any more: the others go on.
        if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
            return []
        raise
    model = _text(pynvml.nvmlDeviceGetName(handle))
    if _mig_on(handle):
        return _mig_slots(handle, uuid, host, model)
    memory_mb = _memory_mb(handle)
    slots = simulated.split_seats(uuid, host, model, memory_mb or 0, seats, simulated=False)
    if memory_mb is not None and _sound(handle):
        return slots
    return [Slot(**{**vars(slot), "healthy": False}) for slot in slots]


def _mig_on(handle: Any) -> bool:
    mode = _or_unknown(pynvml.nvmlDeviceGetMigMode, handle)
    return mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def _mig_slots(handle: Any, uuid: str, host: str, model: str) -> list[Slot]:
    of = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    healthy = _sound(handle)
    slots = []
    for number in range(of):
        try:
            device = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NOT_FOUND:
                continue  # this place holds no slice
            raise
        shape = pynvml.nvmlDeviceGetAttributes(device)
        slices, memory_mb = int(shape.gpuInstanceSliceCount), int(shape.memorySizeMB)
        slot_id = _text(pynvml.nvmlDeviceGetUUID(device))
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
    name = _or_unknown(pynvml.nvmlDeviceGetName, device)
    found = re.search(r"\b\d+g\.\d+gb(\+\w+)?\b", _text(name) if name else "")
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
        rows = _or_unknown(pynvml.nvmlDeviceGetRemappedRows, handle)
    except pynvml.NVMLError:
        return False
    return rows is None or not rows[3]  # (correctable, uncorrectable, pending, failure)


def _or_unknown(call: Any, *arguments: Any) -> Any:
    """The call's answer; None for "not supported here"."""
    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _UNKNOWN:
            return None
        raise


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
