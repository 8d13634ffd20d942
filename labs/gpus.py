"""What the GPUs of this machine are doing, and whose processes do it. Asked through NVML.

Evidence only: labs are charged by held time (labs.held). It says which labs leave their GPU alone,
and which processes hold a GPU without a lease for it. What NVML does not support on a device is
unknown, and unknown is never read as idle: a MIG slice has no utilisation of its own, so only one
without any process is known to be quiet.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from core.wire import StrayProcess
from labs import nvml

NO_CONTAINER, NO_LEASE, NOT_ITS_GPU = "no_container", "no_lease", "not_its_gpu"
"""Why a process on a GPU is a stray."""

Whose = Mapping[int, str]
"""The container of each process that is still there; empty: in none."""

_CONTAINER = re.compile(r"\b[0-9a-f]{64}\b")
_SAMPLES_BACK_US = 2_000_000
"""Process utilisation is asked for the time since the last sample, a second ago."""


@dataclass(frozen=True)
class Process:
    """One process on one device. `percent`: of the GPU's time it computed; None: unknown."""

    pid: int
    memory_mb: int | None
    percent: int | None


@dataclass(frozen=True)
class Device:
    """A GPU or MIG slice at one moment.

    `percent`: how busy it was lately, `processes`: who computes on it; None: unknown.
    """

    id: str
    gpu: str
    percent: int | None
    processes: tuple[Process, ...] | None


def read() -> list[Device] | None:
    """Every device of this machine; None without NVML. Raises pynvml.NVMLError."""
    with nvml.session() as there:
        if not there:
            return None
        return [device for n in range(pynvml.nvmlDeviceGetCount()) for device in _devices(n)]


def _devices(index: int) -> list[Device]:
    found = nvml.handle(index)
    if found is None:
        return []
    handle, gpu = found
    if nvml.mig_on(handle):
        slices = [(nvml.uuid(device), device) for device in nvml.slices(handle)]
        return [Device(name, gpu, None, _processes(device)) for name, device in slices]
    rates = nvml.or_unknown(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return [Device(gpu, gpu, None if rates is None else int(rates.gpu), _processes(handle))]


def _processes(handle: Any) -> tuple[Process, ...] | None:
    found = nvml.or_unknown(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if found is None:
        return None
    percent = _percent_by_pid(handle) if found else {}
    return tuple(
        Process(
            int(one.pid),
            None if one.usedGpuMemory is None else int(one.usedGpuMemory) >> 20,
            None if percent is None else percent.get(int(one.pid), 0),
        )
        for one in found
    )


def _percent_by_pid(handle: Any) -> dict[int, int] | None:
    """How busy each process was; those without a sample were not. None: unknown."""
    since = time.time_ns() // 1000 - _SAMPLES_BACK_US  # NVML stamps samples by the wall clock
    try:
        samples = pynvml.nvmlDeviceGetProcessUtilization(handle, since)
    except pynvml.NVMLError as error:
        # NOT_FOUND: nobody computed. Anything else, as on a MIG slice: nobody knows.
        return {} if error.value == pynvml.NVML_ERROR_NOT_FOUND else None
    busy: dict[int, int] = {}
    for sample in samples:
        busy[int(sample.pid)] = max(busy.get(int(sample.pid), 0), int(sample.smUtil))
    return busy


def container_of(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Id of the container that a process of this host runs in; empty: in none. None: it is gone."""
    try:
        text = (proc / str(pid) / "cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = _CONTAINER.findall(text)
    return str(found[-1]) if found else ""


def name_of(pid: int, proc: Path = Path("/proc")) -> str:
    """What a process is called; empty when it is gone."""
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def quiet(mine: Iterable[str], container: str, seen: Mapping[str, Device], whose: Whose) -> bool:
    """True when it is known that a lab computes on none of its devices (`mine`). Pure."""
    wanted = list(mine)
    return bool(wanted) and all(
        device in seen and _quiet_on(seen[device], container, whose) for device in wanted
    )


def _quiet_on(device: Device, container: str, whose: Whose) -> bool:
    if device.percent == 0:
        return True  # nobody computes there
    if device.processes is None:
        return False
    # A process that ended meanwhile may have been this lab's.
    own = [one for one in device.processes if whose.get(one.pid, container) == container]
    return all(one.percent == 0 for one in own)


def strays(
    devices: Iterable[Device], whose: Whose, labs: Mapping[str, frozenset[str]]
) -> list[tuple[Device, Process, str]]:
    """Processes that hold a GPU without a lease for it, with the reason. Pure.

    `labs`: by container of a lab with a lease, the devices that lease gives it.
    """
    found = []
    for device in devices:
        for one in device.processes or ():
            container = whose.get(one.pid)
            if container is None:
                continue  # it ended while we looked
            if not container:
                found.append((device, one, NO_CONTAINER))
            elif container not in labs:
                found.append((device, one, NO_LEASE))
            elif labs[container] and device.id not in labs[container]:
                found.append((device, one, NOT_ITS_GPU))
    return found


def as_stray(device: Device, one: Process, why: str, container: str) -> StrayProcess:
    """The wire shape."""
    return StrayProcess(
        device.gpu, device.id, one.pid, name_of(one.pid), container, one.memory_mb, why
    )
