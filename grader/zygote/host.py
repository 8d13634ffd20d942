"""The worker's side of a grading container: start it, feed it, believe nothing it says."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import queue
import random
import secrets
import socket
import struct
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.types import DeviceRequest, LogConfig

from core.i18n import N_
from core.wire import Lease
from grader.protocol import SandboxError
from grader.zygote import session
from grader.zygote.inside import frames
from grader.zygote.protocol import Job, Limits, Result

log = logging.getLogger(__name__)

CAPABILITIES = ["SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "KILL"]
"""Of the zygote's container, which runs no learner's byte: namespaces and mounts; becoming an
unprivileged uid; emptying the bounding set; ending forks of another uid. A fork has none."""
NO_CONTAINER = N_("The grading container does not start or stopped: %(detail)s")
DIED_TWICE = "the grading container died twice"
START_SECONDS = 180
SEND_SECONDS = 60
"""A container that takes nothing for so long (stopped, or its engine is) is given up."""
LIFE_SECONDS = 24 * 3600
"""Label `dli.until`: after it anybody may remove the container."""
_BASE_MB = 1536
"""Memory for broker, zygote and its packages."""
_BOOT = """
import os, sys
def take(count):
    data = b""
    while len(data) < count:
        data += os.read(0, count - len(data)) or sys.exit(72)
    return data
path = "/run/dli/zygote.zip"
with open(path, "wb") as file:
    file.write(take(int.from_bytes(take(4), "big")))
sys.path.insert(0, path)
from dlizygote import broker
broker.main(path, sys.argv[1:])
"""


class ZygoteError(SandboxError):
    """The grading container does not start or keeps dying; says what its last words were."""


def archive() -> bytes:
    """The files of `inside` as a zip archive, package `dlizygote`."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as target:
        for path in sorted(Path(__file__).with_name("inside").glob("*.py")):
            target.writestr(f"dlizygote/{path.name}", path.read_bytes())
    return data.getvalue()


def arguments(
    image: str, packages: list[str], limits: Limits, instance: str, parallel: int, cores: int,
    lease: Lease | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Arguments of `containers.create` (pure). `cores`: of the engine's machine.

    With a `lease` the container has its GPUs, the agent sees its lease, and it ends by itself at
    the lease's limit.
    """
    memory = f"{_BASE_MB + parallel * (limits.memory_mb + limits.disk_mb)}m"
    return _held(lease) | {
        "image": image,
        "name": f"{instance}-grading-{secrets.token_hex(6)}",
        "labels": {"dli.instance": instance, "dli.kind": "grading",
                   "dli.until": str(int(time.time() + LIFE_SECONDS)), **_labels(lease)},
        "auto_remove": True,  # a worker's death closes stdin, and with it everything
        "entrypoint": [*_deadline(lease), "python3", "-I", "-c", _BOOT],
        "command": packages,
        "user": "0:0",
        "working_dir": "/",
        "stdin_open": True,
        "network_mode": "none",
        "ipc_mode": "private",
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": CAPABILITIES,
        # Docker's AppArmor profile, where there is AppArmor, refuses every mount; forks have their
        # own filter, which refuses it to learners' code
        "security_opt": ["no-new-privileges", "apparmor=unconfined"],
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": parallel * limits.processes + 32,
        "nano_cpus": min(parallel, cores) * 1_000_000_000,
        "tmpfs": {"/run/dli": "size=4m,mode=0700", "/work": "size=1m,mode=0755",
                  "/tmp": "size=64m,mode=1777"},  # noqa: S108
        "log_config": LogConfig(type="none"),
        "healthcheck": {"test": ["NONE"]},
    }  # fmt: skip


def _held(lease: Lease | None) -> dict[str, Any]:
    """The leased GPUs, all in one request: of two requests Docker takes the last."""
    devices = [slot.device for slot in lease.slots if not slot.simulated] if lease else []
    if not devices:
        return {"environment": {"NVIDIA_VISIBLE_DEVICES": "void"}}
    return {
        "environment": {"DLI_GPU": "1", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
        "device_requests": [DeviceRequest(device_ids=devices, capabilities=[["gpu"]])],
    }


def _labels(lease: Lease | None) -> dict[str, str]:
    return {"dli.lease": lease.id, "dli.grant-ms": str(lease.grant_ms)} if lease else {}


def _deadline(lease: Lease | None) -> list[str]:
    """PID 1 ends the container at the lease's limit even when agent and services are gone."""
    return ["timeout", "-k", "5", str(max(1, lease.limit_ms // 1000))] if lease else []


class Zygote:
    """A grading container for one set of packages. Thread-safe; runs `parallel` jobs at once.

    Use as a context manager. Started at the first job, started anew when it died. `client` is a
    docker client of our own; the container is removed by `close`.
    """

    def __init__(
        self, client: docker.DockerClient, image: str, packages: list[str], limits: Limits,
        instance: str, parallel: int = 2, lease: Lease | None = None,
    ) -> None:  # fmt: skip
        self.limits = limits
        self.timings: dict[str, float] = {}
        """Of the last start, in seconds: container, import."""
        self.failed_imports: dict[str, str] = {}
        self._client = client
        self._arguments = (image, packages, limits, instance, parallel, lease)
        self._once = lease is not None
        self._slots: queue.Queue[int] = queue.Queue()
        for slot in range(parallel):
            self._slots.put(slot)
        self._lock = threading.Lock()
        self._link: _Link | None = None

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the container now (otherwise the first job does). Raises ZygoteError."""
        self._alive()

    @property
    def container_id(self) -> str:
        """Of the running container; empty without one."""
        return str(self._link.container.id) if self._link else ""

    def cpu_seconds(self) -> float:
        """CPU time that the running container has used, imports included; 0 without one.

        Docker takes a second to answer.
        """
        link = self._link
        if link is None:
            return 0.0
        stats: Any = link.container.stats(stream=False)
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def close(self) -> None:
        """Remove the container."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def run(self, job: Job) -> Result:
        """Execute one notebook; blocks. Raises session.Unstartable, and ZygoteError when no
        container can be had."""
        begun = time.monotonic()
        slot = self._slots.get()
        waited = time.monotonic() - begun
        try:
            for _ in range(2):
                result = self._run_once(job, slot)
                if result is not None:
                    result.timings["wait"] = waited
                    return result
            return Result(ended="crashed", detail=DIED_TWICE)
        finally:
            self._slots.put(slot)

    def _run_once(self, job: Job, slot: int) -> Result | None:
        link = self._alive()
        channel = link.open(slot, self.limits)
        try:
            return session.run(channel, job, self.limits)
        except session.Lost:
            log.warning("grading container died: %s", link.last_words())
            self._forget(link)
            return None
        finally:
            link.drop(channel)
            if not channel.exited:  # a fork that cannot even be killed: start afresh
                self._forget(link)

    def _alive(self) -> _Link:
        with self._lock:
            if self._link is None or self._link.dead.is_set():
                if self._once and self.timings:
                    raise ZygoteError(N_("The GPU time for grading is used up."))
                if self._link is not None:
                    self._link.close()
                self._link = _Link(self._client, *self._arguments)
                self.timings = self._link.timings
                self.failed_imports = self._link.failed
            return self._link

    def _forget(self, link: _Link) -> None:
        with self._lock:
            if self._link is link:
                self._link = None
        link.close()


class _Link:
    """One running container and the thread that reads from it."""

    def __init__(
        self, client: docker.DockerClient, image: str, packages: list[str], limits: Limits,
        instance: str, parallel: int, lease: Lease | None,
    ) -> None:  # fmt: skip
        begun = time.monotonic()
        self.dead = threading.Event()
        self.failed: dict[str, str] = {}
        self._channels: dict[int, session.Channel] = {}
        self._next = 1
        self._errors = b""
        self._write = threading.Lock()
        self._ready: queue.Queue[dict[str, Any]] = queue.Queue()
        # NPROC counts per uid over the whole host: no two containers share uids
        self._uids = random.SystemRandom().randrange(1_000_000, 2_000_000_000, 1000)
        cores = int(client.info()["NCPU"])
        wanted = arguments(image, packages, limits, instance, parallel, cores, lease)
        made = client.containers.create(**wanted)
        self.container = made
        self._sock: socket.socket | None = None
        try:
            ready = self._started()
        except BaseException as error:
            self.close()
            if not isinstance(error, Exception):
                raise
            raise ZygoteError(NO_CONTAINER, detail=f"{error!r}; {self.last_words()}") from error
        if not ready:
            self.close()
            raise ZygoteError(NO_CONTAINER, detail=self.last_words())
        self.failed = ready["failed"]
        total = time.monotonic() - begun
        self.timings = {"container": total - ready["import_s"], "import": ready["import_s"]}

    def _started(self) -> dict[str, Any]:
        """Start the container; the zygote's first message, empty when the container ended."""
        ways = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        stream: Any = self.container.attach_socket(params=ways)
        self._file, sock = stream, stream._sock
        self._sock = sock
        sock.settimeout(None)
        wait = struct.pack("@ll", SEND_SECONDS, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        self.container.start()
        threading.Thread(target=self._read, args=(sock,), name="zygote-reader", daemon=True).start()
        data = archive()
        sock.sendall(len(data).to_bytes(4, "big") + data)
        return self._ready.get(timeout=START_SECONDS)

    def open(self, slot: int, limits: Limits) -> session.Channel:
        """Ask for a fork."""
        with self._write:
            job, self._next = self._next, self._next + 1
        channel = session.Channel(job, self.send)
        self._channels[job] = channel
        order = {"uid": self._uids + slot, "limits": {
            "seconds": limits.wall_seconds, "memory_mb": limits.memory_mb,
            "disk_mb": limits.disk_mb, "files": limits.files, "processes": limits.processes,
            "address_space": limits.address_space, "output_bytes": limits.output_bytes,
            "cell_bytes": limits.cell_bytes,
        }}  # fmt: skip
        channel.send(frames.OPEN, json.dumps(order).encode())
        if self.dead.is_set():
            channel.events.put((frames.EXIT, None))
        return channel

    def drop(self, channel: session.Channel) -> None:
        """Forget a job; what still comes from it is thrown away."""
        self._channels.pop(channel.job, None)

    def send(self, data: bytes) -> None:
        """Whole frames, from any thread. One that was cut short is the end of the container."""
        with self._write:
            try:
                if self._sock is not None and not self.dead.is_set():
                    self._sock.sendall(data)
            except OSError:
                self._died()

    def last_words(self) -> str:
        """End of the container's stderr, for the log."""
        return self._errors[-2000:].decode("utf-8", "replace")

    def close(self) -> None:
        """Remove the container and end the reader."""
        self._died()
        with contextlib.suppress(docker.errors.DockerException, OSError):
            self.container.remove(force=True, v=True)
        if self._sock is not None:  # its end is the container's too, if Docker did not answer
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._file.close()

    def _read(self, sock: socket.socket) -> None:
        splitter = frames.Splitter()
        try:
            for stream, data in _demultiplex(sock):
                if stream == 2:
                    self._errors = (self._errors + data)[-65536:]
                    continue
                for job, kind, payload in splitter.feed(data):
                    self._dispatch(job, kind, payload)
        except (OSError, ValueError) as error:
            log.info("grading container's stream ended: %s", error)
        finally:  # whatever it was: nobody may wait for a reader that is gone
            self._died()

    def _dispatch(self, job: int, kind: int, payload: bytes) -> None:
        channel = self._channels.get(job)  # may be dropped meanwhile
        if kind == frames.READY:
            self._ready.put(json.loads(payload))
        elif channel is not None:
            channel.events.put((kind, payload))

    def _died(self) -> None:
        self.dead.set()
        self._ready.put({})
        for channel in list(self._channels.values()):
            channel.events.put((frames.EXIT, None))


def _demultiplex(sock: socket.socket) -> Any:
    """Docker's attach stream: (1 stdout | 2 stderr, bytes)."""
    buffer = bytearray()
    while True:
        chunk = sock.recv(1 << 18)
        if not chunk:
            return
        buffer += chunk
        while len(buffer) >= 8:
            stream, length = struct.unpack_from("!BxxxI", buffer)
            if len(buffer) < 8 + length:
                break
            yield stream, bytes(buffer[8 : 8 + length])
            del buffer[: 8 + length]
