"""JupyterHub's configuration for benchmarks/join.py: the platform's own, but for the containers.

Everything of the Hub is the real thing, the lab spawner too; only Docker's answers are stood in
for, and a lab is an address of the small server in `_join_site`.
"""

from __future__ import annotations

import os
from typing import Any

from docker.errors import NotFound

from core import log, settings
from core.clock import boot_ms
from hub import wiring
from labs import network
from labs.spawner import LabSpawner

_containers: dict[str, dict[str, Any]] = {}
_IMAGE = {"Config": {"Entrypoint": None, "Cmd": ["lab"]}}


class _Client:
    @staticmethod
    def create_host_config(**given: Any) -> dict[str, Any]:
        return given


class NoContainers(LabSpawner):
    """The lab spawner with Docker stood in for."""

    @property
    def client(self) -> Any:
        return _Client

    async def docker(self, method: str, *args: Any, **given: Any) -> Any:
        if method == "inspect_image":
            return _IMAGE
        if method == "create_container":
            _containers[given["name"]] = {"begun": boot_ms()}
            return {"Id": given["name"]}
        if method in ("create_volume", "start"):
            return None
        if args[0] not in _containers:
            raise NotFound(f"no container {args[0]}")
        if method == "remove_container":
            del _containers[args[0]]
        if method == "logs":
            return b""
        if method == "inspect_container":
            state = {"Running": True, "Pid": os.getpid(), "ExitCode": 0, "OOMKilled": False}
            return {"Id": args[0], "Config": {"Labels": {}}, "State": {**state, "FinishedAt": ""}}
        return None

    async def _started(self) -> int | None:
        found = _containers.get(self.object_id)
        return int(found["begun"]) if found else None

    async def get_ip_and_port(self) -> tuple[str, int]:
        return "127.0.0.1", int(os.environ["BENCH_LABS_PORT"])


if "get_config" in globals():  # JupyterHub reads this file; it is not imported
    c = get_config()  # type: ignore[name-defined] # noqa: F821
    log.setup()
    network.gateway = lambda _settings: "127.0.0.1"
    wiring.apply(c, settings.load())
    c.JupyterHub.spawner_class = NoContainers
