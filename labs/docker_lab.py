"""The Docker side of a lab's spawner: its container is made, looked at, ended and removed.

Knows no lease and no usage service: those are `labs.spawner`'s.
"""

from __future__ import annotations

import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from docker.errors import APIError, DockerException, NotFound
from dockerspawner import DockerSpawner
from jupyterhub.utils import url_path_join
from traitlets import Any as AnyTrait
from traitlets import Unicode, default

from core import clock
from core.clock import boot_ms
from core.log import event
from core.settings import Settings
from core.wire import Lease
from labs import containers
from labs.held import held_until, started_ms
from labs.order import Order

log = logging.getLogger("labs.docker_lab")

DOCKER_ERRORS = (DockerException, requests.RequestException)


class DockerLab(DockerSpawner):  # type: ignore[misc] # no type information is published
    """One container per person, made as `labs.containers` plans it."""

    settings: Settings = AnyTrait(help="The platform's settings").tag(config=True)
    gateway = Unicode(help="This machine's address on the labs' network").tag(config=True)

    use_internal_ip = True
    remove = True
    pull_policy = "skip"
    port = containers.PORT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network_name = self.settings.network

    @property
    def executor(self) -> ThreadPoolExecutor:
        """Threads that talk to Docker, shared by all labs."""
        cls = type(self)
        if cls._executor is None:
            cls._executor = ThreadPoolExecutor(self.settings.labs.docker_threads, "docker")
        executor: ThreadPoolExecutor = cls._executor
        return executor

    @default("object_name")  # type: ignore[untyped-decorator]
    def _object_name_default(self) -> str:
        return containers.name_of(self.settings, self.user.name)

    async def _create(self, order: Order, lease: Lease | None) -> None:
        plan = containers.plan(
            lease,
            order.course,
            order.lab,
            self.user.name,
            order.language,
            self.gateway,
            self.settings,
            order.cohort,
        )
        self.image = plan.image
        self.object_name = plan.name
        inside = (await self.docker("inspect_image", plan.image))["Config"]
        command = (inside.get("Entrypoint") or []) + (inside.get("Cmd") or [])
        await self.docker("create_volume", plan.volume, labels=plan.volume_labels)
        made = await self.docker(
            "create_container",
            image=plan.image,
            name=plan.name,
            entrypoint=plan.entrypoint,
            command=command + self.get_args(),
            environment={**self.get_env(), **plan.environment},
            user=plan.user,
            working_dir=plan.working_dir,
            labels=plan.labels,
            host_config=self.client.create_host_config(**plan.host_config),
        )
        self.object_id = made["Id"]

    async def _alive(self) -> bool:
        return await self.poll() is None

    async def poll(self) -> int | str | None:
        """None while the container runs. No answer from Docker is not an end."""
        if not self.object_id:
            return 0
        try:
            state = (await self.docker("inspect_container", self.object_id))["State"]
        except NotFound:
            return 0
        except DOCKER_ERRORS as error:
            event(log, "docker does not answer", container=self.object_id[:12], error=str(error))
            return None
        if state["Running"]:
            return None
        return f"exit code {state['ExitCode']}{', out of memory' if state['OOMKilled'] else ''}"

    async def get_url(self) -> str:
        """Where the lab is, asked of Docker: a Hub killed during a start did not write it down."""
        try:
            ip, port = await self.get_ip_and_port()
        except DOCKER_ERRORS:
            return str(self.server.url)
        return str(url_path_join(f"http://{ip}:{port}", self.server.base_url))

    async def _started(self) -> int | None:
        """When the lab's first process started (ms since boot); None when it is gone."""
        try:
            state = (await self.docker("inspect_container", self.object_id))["State"]
        except DOCKER_ERRORS:
            return None
        return started_ms(state["Pid"]) if state["Running"] else None

    async def _held(self, started: int, seen: int) -> int:
        """Held time of the lab that just ended and was last seen running at `seen`.

        Docker knows the moment; its answer to the stop may come seconds later on a busy machine,
        and those are not charged.
        """
        try:
            state = (await self.docker("inspect_container", self.object_id))["State"]
        except NotFound:
            state = {"FinishedAt": ""}
        return held_until(started, seen, boot_ms(), state["FinishedAt"], clock.now())

    async def _end(self, container: str, wait_s: int) -> None:
        """End the container's processes, politely for `wait_s` seconds; gone is no error."""
        with contextlib.suppress(NotFound):
            await self.docker("stop", container, timeout=wait_s)

    async def _remove(self, container: str) -> None:
        """Remove the container, running or not; gone is no error."""
        try:
            await self.docker("remove_container", container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409:  # 409: being removed already
                raise

    async def _log_tail(self, container: str) -> None:
        try:
            tail = await self.docker("logs", container, tail=20)
        except NotFound:
            return
        if tail:
            event(log, "last words", container=container[:12], text=tail.decode(errors="replace"))

    async def delete_forever(self) -> None:
        """Remove the files of somebody deleted from the Hub; a missing volume is no error."""
        try:
            await self.docker("remove_volume", containers.home_of(self.settings, self.user.name))
        except NotFound:
            return
        event(log, "home removed", person=self.user.name)
