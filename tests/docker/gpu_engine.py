"""A second Docker engine that believes it has GPUs, beside the one that is there.

Our own dockerd in namespaces of its own (network, mounts, processes), with the stand-in for
NVIDIA's hook on its PATH. Nothing of it is seen by the first engine, and nothing outlives it: with
its first process everything in its namespaces ends and every mount is gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import requests

from tests.docker import tiny_image
from tests.fakes import nvidia_hook
from tests.platform import wait_for

IMAGE = "tiny:1"


@dataclass(frozen=True)
class GpuEngine:
    """The engine while it runs. `hook` is the folder of the hook's notes, `pid` dockerd's here."""

    client: docker.DockerClient
    url: str
    hook: Path
    folder: Path
    pid: int

    def hook_saw(self, container_id: str) -> str | None:
        """The devices that the hook was asked to give this container; None: it was not called."""
        return nvidia_hook.calls(self.hook).get(container_id)


@contextmanager
def gpu_engine(devices: list[str]) -> Iterator[GpuEngine]:
    """An engine on a machine with `devices` (UUIDs), with the tiny image loaded."""
    folder = Path(tempfile.mkdtemp(prefix="dgpu-"))  # short: socket paths have 108 bytes
    cgroup = f"dgpu-{secrets.token_hex(4)}"
    nvidia_hook.install(folder / "hook", devices)
    process = _start(folder, cgroup)
    try:
        url = f"unix://{folder}/docker.sock"
        client = _connect(url, process, folder / "log")
        try:
            tiny_image.load(client, IMAGE)
            yield GpuEngine(client, url, folder / "hook", folder, _children(process)[0])
        finally:
            _remove_containers(client)
            client.close()
    finally:
        _stop(process)
        remove_cgroups(cgroup)
        shutil.rmtree(folder)


def _start(folder: Path, cgroup: str) -> subprocess.Popen[bytes]:
    words = [
        *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("dockerd", "--host", f"unix://{folder}/docker.sock"),
        *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        *("--pidfile", f"{folder}/pid", "--cgroup-parent", f"/{cgroup}"),
        *("--bridge", "none", "--iptables=false", "--config-file", f"{folder}/none.json"),
    ]
    (folder / "none.json").write_text("{}")
    path = f"{folder}/hook:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(words, env={"PATH": path}, stdout=log, stderr=log)


def _connect(url: str, process: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + 180
    while True:
        try:
            client = docker.DockerClient(base_url=url, timeout=60)
            client.ping()
            return client
        except (docker.errors.DockerException, requests.RequestException, OSError):
            said = log.read_text(errors="replace")[-4000:]
            assert process.poll() is None, f"the GPU engine ended at its start:\n{said}"
            assert time.monotonic() < deadline, f"the GPU engine does not answer:\n{said}"
        time.sleep(0.1)


def _remove_containers(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, ignore_removed=True):
        container.remove(force=True, v=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to dockerd, the child of `unshare`; after 30 s everything is killed."""
    with contextlib.suppress(OSError):
        for child in _children(process):
            os.kill(child, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()  # --kill-child: dockerd goes with it, and all in its namespaces
        process.wait(30)


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    """Of `unshare`: dockerd alone. Raises OSError when it has ended."""
    return [
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def remove_cgroups(name: str) -> None:
    """The kernel removes an ended container's cgroups; their parent is ours to remove."""

    def gone() -> bool:
        left = [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        return not [path for path in left if path.exists()]

    wait_for("the end of the engine's cgroups", gone)
