"""The one module of this room that speaks to Docker: throwaway containers for grading.

A container has no network, no volume, no environment, a read-only root, a small tmpfs, a
non-root user without capabilities, and limits of memory, processors, processes and time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container

from core.ids import new_id
from core.log import event
from core.settings import Settings
from grader.protocol import Cell, Outcome, SandboxError, ran, tested

_LOG = logging.getLogger("grader.runner")
_USER = "1000:1000"
_RUNNER = ["python3", "-I", "-B", "/opt/dli/grader/sandbox/runner.py"]
_START_SECONDS = 120
_HEAD = struct.Struct(">BxxxI")
_TMPFS = "rw,nosuid,nodev,uid=1000,gid=1000,mode=0700,nr_inodes=8000"


@dataclass(frozen=True)
class Task:
    """One notebook to run."""

    cells: list[Cell]
    files: dict[str, bytes]
    """The submission's other files and the instructor's, by relative name."""
    packages: list[str]
    """Imported before the learner's code."""


class Sandbox(Protocol):
    """Runs one notebook where it can harm nobody."""

    def run(self, task: Task) -> Outcome:
        """Raises SandboxError when the sandbox itself failed."""


class ContainerSandbox:
    """One fresh container per notebook."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._docker: docker.DockerClient | None = None

    def run(self, task: Task) -> Outcome:
        """Run `task` in a container of its own. Raises SandboxError."""
        try:
            with self._container(task.packages) as container:
                return self._talk(container, task)
        except ImageNotFound:
            raise SandboxError(
                f"the image {self._settings.labs.sandbox_image} is missing; run ./dli up"
            ) from None
        except (DockerException, OSError) as error:
            raise SandboxError(f"Docker: {error}") from None

    def remove_leftovers(self) -> None:
        """Remove containers that a killed worker of this instance left. Raises SandboxError."""
        try:
            for container in self._client().containers.list(
                all=True,
                filters={"label": [f"dli.instance={self._settings.instance}", "dli.kind=grading"]},
            ):
                started = container.labels.get("dli.until", "0")
                if float(started) < time.time():
                    with contextlib.suppress(APIError):
                        container.remove(force=True)
        except DockerException as error:
            raise SandboxError(f"Docker: {error}") from None

    def _client(self) -> docker.DockerClient:
        if self._docker is None:
            self._docker = docker.from_env(timeout=60)
        return self._docker

    @contextlib.contextmanager
    def _container(self, packages: list[str]) -> Iterator[Container]:
        client = self._client()
        container = client.containers.create(**arguments(self._settings, packages))
        try:
            yield container
        finally:
            with contextlib.suppress(APIError):
                container.remove(force=True)
            event(_LOG, "grading container removed", container=container.name)

    def _talk(self, container: Container, task: Task) -> Outcome:
        limits = self._settings.grader
        end = time.monotonic() + _START_SECONDS + 2 * limits.wall_seconds + 60
        line = _Line(container, end, 3 * limits.output_mb * 1_000_000 + 4_000_000)
        try:
            container.start()
            line.receive("ready")
            line.send(request(self._settings, task))
            first = ran(line.receive("cells"))
            tests = [{"index": c.index, "source": c.test} for c in task.cells if c.test is not None]
            line.send({"tests": tests})
            second = tested(line.receive("tests"))
        finally:
            line.close()
        return Outcome(
            cells={cell.index: cell for cell in first.cells},
            tests={test.index: test for test in second.tests},
            reason=first.reason,
        )


def arguments(settings: Settings, packages: list[str]) -> dict[str, Any]:
    """Everything a grading container is given and denied."""
    limits = settings.grader
    lifetime = _START_SECONDS + 2 * limits.wall_seconds + 120
    return {
        "image": settings.labs.sandbox_image,
        "name": new_id(f"{settings.instance}-grading"),
        "entrypoint": [],
        "command": [*_RUNNER, "--lifetime", str(lifetime), "--packages", ",".join(packages)],
        "labels": {
            "dli.instance": settings.instance,
            "dli.kind": "grading",
            "dli.until": str(int(time.time() + lifetime)),
        },
        "user": _USER,
        "working_dir": "/work",
        "stdin_open": True,
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/work": f"{_TMPFS},size=256m", "/tmp": f"{_TMPFS},size=64m"},  # noqa: S108
        "shm_size": "64m",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": f"{limits.memory_mb}m",
        "memswap_limit": f"{limits.memory_mb}m",
        "pids_limit": limits.pids,
        "nano_cpus": 1_000_000_000,
        "ipc_mode": "private",
        "log_config": {"type": "none", "config": {}},
        "environment": {},
    }


def request(settings: Settings, task: Task) -> dict[str, Any]:
    """The first message: cells without their hidden tests, files, limits."""
    limits = settings.grader
    return {
        "op": "run",
        "cells": [
            {"index": c.index, "source": c.source, "test": c.test is not None} for c in task.cells
        ],
        "files": {name: base64.b64encode(data).decode() for name, data in task.files.items()},
        "wall_seconds": limits.wall_seconds,
        "test_seconds": max(limits.wall_seconds / 4, 10),
        "output_bytes": limits.output_mb * 1_000_000,
        "file_bytes": 128_000_000,
    }


class _Line:
    """Messages to and from a container's standard streams."""

    def __init__(self, container: Container, end: float, limit: int) -> None:
        self._end = end
        self._left = limit
        self._buffer = bytearray()
        holder = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        self._holder = holder
        self._socket: Any = getattr(holder, "_sock", holder)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._holder.close()

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        self._socket.settimeout(max(self._end - time.monotonic(), 1))
        self._socket.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self, expected: str) -> dict[str, Any]:
        """The next message, which must be `expected`. Raises SandboxError."""
        size = int.from_bytes(self._take(4), "big")
        if size > self._left:
            raise SandboxError(f"the answer is too large ({size} bytes)")
        self._left -= size
        try:
            message = json.loads(self._take(size))
        except (ValueError, RecursionError):
            raise SandboxError("the answer is not JSON") from None
        if not isinstance(message, dict) or message.get("op") != expected:
            raise SandboxError(f"expected {expected!r}, the container said otherwise")
        return message

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self._frame()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _frame(self) -> bytes:
        """The next piece of standard output; standard error goes to the log."""
        kind, size = _HEAD.unpack(self._exactly(_HEAD.size))
        data = self._exactly(size)
        if kind == 1:
            return data
        event(_LOG, "grading container says", text=data.decode("utf-8", "replace"))
        return b""

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            left = self._end - time.monotonic()
            if left <= 0:
                raise SandboxError("the container took too long")
            self._socket.settimeout(left)
            try:
                part = self._socket.recv(min(count, 1 << 20))
            except TimeoutError:
                raise SandboxError("the container took too long") from None
            if not part:
                raise SandboxError("the container ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
