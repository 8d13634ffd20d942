"""Containers exactly as the spawner makes them, on the real network, with another command."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from core.settings import Settings
from core.wire import Lease
from labs.containers import plan
from labs.network import ensure_network, remove_network
from tests.ports import free_ports
from tests.unit.labs.things import course, lab


@dataclass
class Boxes:
    """Starts labs of one instance; `gateway` is this machine on their network."""

    client: docker.DockerClient
    settings: Settings
    gateway: str
    made: list[Any] = field(default_factory=list)

    def start(self, who: str, *command: str, lease: Lease | None = None, **environment: str) -> Any:
        """A running lab of `who` whose server is `command`."""
        made = plan(lease, course(), lab(), who, "en", self.gateway, self.settings)
        api = self.client.api
        api.create_volume(made.volume, labels=made.volume_labels)
        ident = api.create_container(
            image=made.image,
            name=made.name,
            entrypoint=made.entrypoint,
            command=list(command),
            environment=made.environment | {"JUPYTERHUB_API_TOKEN": "own"} | environment,
            user=made.user,
            working_dir=made.working_dir,
            labels=made.labels,
            host_config=api.create_host_config(**made.host_config),
        )["Id"]
        container = self.client.containers.get(ident)
        self.made.append(container)
        container.start()
        container.reload()
        return container

    def run(self, who: str, code: str, seconds: float = 180, **more: Any) -> tuple[int, str]:
        """Exit status and output of Python code as a lab of `who`; its container is removed."""
        container = self.start(who, "python3", "-c", code, **more)
        try:
            status = container.wait(timeout=seconds)["StatusCode"]
            return status, container.logs().decode(errors="replace")
        finally:
            container.remove(force=True)
            self.made.remove(container)

    def address(self, container: Any) -> str:
        """A lab's address on the labs' network."""
        networks = container.attrs["NetworkSettings"]["Networks"]
        return str(networks[self.settings.network]["IPAddress"])


@contextmanager
def boxes(folder: Path, **labs: Any) -> Iterator[Boxes]:
    """An instance of its own, removed with everything it made."""
    ports = free_ports(5)
    names = ("public", "proxy_api", "hub", "usage", "grader")
    settings = Settings(
        instance=f"sec-{secrets.token_hex(4)}",
        state_dir=folder,
        courses_dir=folder,
        ports=dict(zip(names, ports, strict=True)),
        labs={"memory_mb": 512, "cpus": 1, "pids": 100} | labs,
    )
    for language in ("en", "ko"):
        (folder / "materials" / "intro" / language).mkdir(parents=True, exist_ok=True)
    client = docker.from_env(timeout=120)
    gateway = ensure_network(client, settings)
    found = Boxes(client, settings, gateway)
    try:
        yield found
    finally:
        for container in found.made:
            container.remove(force=True)
        label = {"label": f"dli.instance={settings.instance}"}
        for volume in client.volumes.list(filters=label):
            volume.remove(force=True)
        remove_network(client, settings)
        client.close()


@contextmanager
def listening(*addresses: tuple[str, int]) -> Iterator[list[int]]:
    """Servers that accept and say hello; gives their ports (0: a free one)."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(a)) for a in addresses]
        for server in servers:
            threading.Thread(target=_serve, args=(server,), daemon=True).start()
        try:
            yield [server.getsockname()[1] for server in servers]
        finally:
            for server in servers:  # wakes the thread in accept, which would keep the port
                server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _peer = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"hello\n")


def own_address() -> str:
    """This machine's address towards the world, whether or not it can reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
