"""NVML, the NVIDIA driver's library, in the few words that this platform needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

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


@contextmanager
def session() -> Iterator[bool]:
    """While NVML is in use. False: this machine has none. Raises NVMLError when it is broken."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value not in _ABSENT:
            raise
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def handle(index: int) -> tuple[Any, str] | None:
    """A GPU and its UUID; None for one that fell off the bus, while the others go on."""
    try:
        found = pynvml.nvmlDeviceGetHandleByIndex(index)
        return found, uuid(found)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
            return None
        raise


def uuid(handle: Any) -> str:
    """Of a GPU or slice."""
    return text(pynvml.nvmlDeviceGetUUID(handle))


def mig_on(handle: Any) -> bool:
    """The GPU is cut into slices."""
    mode = or_unknown(pynvml.nvmlDeviceGetMigMode, handle)
    return mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def slices(handle: Any) -> Iterator[Any]:
    """The MIG slices of a GPU."""
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError as error:
            if error.value != pynvml.NVML_ERROR_NOT_FOUND:  # else this place holds no slice
                raise


def or_unknown(call: Any, *arguments: Any) -> Any:
    """The call's answer; None for "not supported here"."""
    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _UNKNOWN:
            return None
        raise


def text(value: bytes | str) -> str:
    """A name as text."""
    return value.decode() if isinstance(value, bytes) else value
