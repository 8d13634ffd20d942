"""DockerSpawner that asks the usage service before a GPU lab starts and tells it how it ended.

Lives inside the Hub. A start reserves GPU time, makes the container that `labs.containers` planned,
activates the lease and waits for the server; whatever fails on the way is undone: no container and
no lease stay behind, and nothing is charged. What is needed to go on after a Hub restart is in the
spawner's state, written before the container starts.
"""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import AsyncIterator
from typing import Any

from docker.errors import NotFound
from jupyterhub.spawner import SpawnException
from jupyterhub.utils import maybe_future, url_path_join
from sqlalchemy.orm import object_session
from traitlets import Any as AnyTrait

from core.clock import boot_ms
from core.i18n import N_
from core.ids import new_id
from core.log import event
from core.wire import GpuNeed, Lease, ReserveRequest
from labs import containers, problems, readiness, turns
from labs.docker_lab import DOCKER_ERRORS, DockerLab
from labs.held import held_ms
from labs.order import Order, language_of, not_offered, read
from labs.text import say
from usage.client import Refused, UsageClient, UsageUnavailable

log = logging.getLogger("labs.spawner")

_STOP_WAIT_S = 5
_ACTIVATE_TRIES = 3
_PROGRESS_PAUSE_S = 0.2


class LabSpawner(DockerLab):
    """A lab container with or without leased GPUs."""

    usage: UsageClient = AnyTrait(help="The usage service's client").tag(config=True)

    lease_id = ""
    _turns: turns.Turns | None = None
    _starting = False
    _language = "en"
    _stages: list[dict[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stages = []

    @property
    def line(self) -> turns.Turns:
        """The line of starting labs, shared by all."""
        cls = type(self)
        if cls._turns is None:
            cls._turns = turns.Turns(self.settings.labs.starts_at_once or turns.by_processors())
        return cls._turns

    # -- state over a Hub restart ------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """JupyterHub's state and the lease."""
        state: dict[str, Any] = super().get_state()
        if self.lease_id:
            state["lease_id"] = self.lease_id
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Read what `get_state` wrote, perhaps by an earlier Hub."""
        super().load_state(state)
        self.lease_id = state.get("lease_id", "")

    def clear_state(self) -> None:
        """Forget the lab that ended."""
        super().clear_state()
        self.lease_id = ""
        self.object_id = ""

    def _save_state(self) -> None:
        """Write the state now: a Hub killed during a start must find the container again."""
        self.orm_spawner.state = self.get_state()
        session = object_session(self.orm_spawner)
        if session is not None:
            session.commit()

    # -- start -------------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Start the lab in `user_options`; its address once it answers. Raises SpawnException."""
        self._language = language_of(self.user_options, self.settings)
        self._stages = []
        self._starting = True
        try:
            order = read(self.user_options, self.settings)
            async with asyncio.timeout(self.settings.labs.start_seconds):
                return await self._start(order)
        except BaseException as error:  # also a cancelled start must leave nothing behind
            await self._undo()
            raise self._refusal(error) from error
        finally:
            self._starting = False

    async def _start(self, order: Order) -> tuple[str, int]:
        await self._clear_leftover()
        self._stage(10, N_("Looking for a place for your lab"))
        lease = await self._reserve(order) if order.gpu else None
        if lease is None:
            await self._check_enrolment(order)
        async with self.line.turn(turns.halving(self._in_line)):
            address = await self._run(order, lease)
        self._stage(95, N_("Your lab is ready"))
        event(
            log,
            "lab started",
            person=self.user.name,
            lease=self.lease_id,
            course=order.course.id,
            lab=order.lab.id,
            container=self.object_id[:12],
        )
        return address

    async def _run(self, order: Order, lease: Lease | None) -> tuple[str, int]:
        self._stage(30, N_("Making your lab"))
        await self._create(order, lease)
        self._save_state()
        await self.docker("start", self.object_id)
        self._stage(60, N_("Starting JupyterLab"))
        address: tuple[str, int] = await self.get_ip_and_port()
        url = url_path_join(f"http://{address[0]}:{address[1]}", self.server.base_url, "api")
        if lease:
            await self._activate(lease)
        await readiness.wait(url, self._alive)
        return address

    async def _reserve(self, order: Order) -> Lease:
        need = order.lab.gpu
        request = ReserveRequest(
            spawn_id=new_id("spawn"),
            username=self.user.name,
            cohort=order.cohort,
            course=order.course.id,
            lab=order.lab.id,
            need=GpuNeed(need.isolation, need.memory_mb, need.count),
            language=order.language,
        )
        try:
            lease = await asyncio.to_thread(self.usage.reserve, request)
        except UsageUnavailable as error:
            raise self._sentence(problems.no_usage(order.language, order.lab)) from error
        self.lease_id = lease.id
        return lease

    async def _activate(self, lease: Lease) -> None:
        for attempt in range(1, _ACTIVATE_TRIES + 1):
            try:
                await asyncio.to_thread(self.usage.activate, lease.id, self.object_id)
                return
            except UsageUnavailable:
                if attempt == _ACTIVATE_TRIES:
                    raise
                await asyncio.sleep(0.5)

    async def _check_enrolment(self, order: Order) -> None:
        """Without a GPU the lab starts even when the usage service cannot say who is enrolled."""
        if self.user.admin:
            return
        try:
            enrolments = await asyncio.to_thread(self.usage.enrolments, self.user.name)
        except UsageUnavailable as error:
            event(log, "enrolment not checked", person=self.user.name, error=str(error))
            return
        if not any(e.open and order.course.id in e.courses for e in enrolments):
            raise not_offered(order)

    async def _clear_leftover(self) -> None:
        """Remove a container of this person that an earlier Hub could not; end its lease."""
        name = containers.name_of(self.settings, self.user.name)
        try:
            found = await self.docker("inspect_container", name)
        except NotFound:
            return
        lease_id = (found["Config"]["Labels"] or {}).get("dli.lease", "")
        state = found["State"]
        held = held_ms(state["Pid"]) if state["Running"] else None
        await self._remove(found["Id"])
        if lease_id:
            await self._release(lease_id, held, "start_abandoned", platform_fault=True)

    # -- when a start fails ------------------------------------------------------------------------

    async def _undo(self) -> None:
        """Remove the container (created or running) and give the lease back, uncharged."""
        lease_id, self.lease_id = self.lease_id, ""
        self.object_id = ""
        # By name: a create that was cut off may still have made it.
        container = containers.name_of(self.settings, self.user.name)
        try:
            await self._log_tail(container)
            await self._remove(container)
        except DOCKER_ERRORS as error:
            event(log, "container not removed", container=container, error=str(error))
        if lease_id:
            await self._release(lease_id, None, "start_abandoned", platform_fault=True)

    def _refusal(self, error: BaseException) -> BaseException:
        """The exception to raise for `error`: a sentence on the pending page."""
        event(log, "start refused", person=self.user.name, error=f"{error!r:.400}")
        if isinstance(error, SpawnException) or not isinstance(error, Exception):
            return error  # has its sentence; or a cancelled start, or the Hub itself is ending
        problem = problems.of(error, self._language, self.settings.labs.start_seconds)
        if problem.reason == "start":
            log.exception("unexpected failure of a start", exc_info=error)
        return self._sentence(problem)

    def _sentence(self, problem: problems.Problem) -> Exception:
        escaped = html.escape(problem.text)
        refusal: Any = SpawnException(
            problem.text, reason=problem.reason, status_code=problem.status, message_html=escaped
        )
        # The pages of a failed start read these; the API and the log read the ones above.
        refusal.jupyterhub_message = problem.text
        refusal.jupyterhub_html_message = escaped
        error: Exception = refusal
        return error

    # -- stop and poll -----------------------------------------------------------------------------

    async def stop(self, now: bool = False) -> None:
        """Stop and remove the container, then settle its lease to the time it was held."""
        lease_id, self.lease_id = self.lease_id, ""
        failed_start = self._starting or self._waiting_for_response
        started, seen = await self._started(), boot_ms()
        held = None
        try:
            await self._end(self.object_id, 0 if now else _STOP_WAIT_S)
            if started is not None:
                held = await self._held(started, seen)
            if lease_id:
                reason = "start_abandoned" if failed_start else "stopped"
                await self._release(lease_id, held, reason, platform_fault=failed_start)
                lease_id = ""
            await self._remove(self.object_id)
        except DOCKER_ERRORS:
            self.lease_id = lease_id  # it may still run: the lease stays open, the agent watches
            raise
        event(log, "lab stopped", person=self.user.name, held_ms=held)
        self.clear_state()

    async def run_post_stop_hook(self) -> None:
        """After every end, also one that nobody asked for: remove what is left, settle."""
        lease_id, self.lease_id = self.lease_id, ""
        if self.object_id:
            try:
                await self._remove(self.object_id)
            except DOCKER_ERRORS as error:
                event(log, "leftover container", container=self.object_id[:12], error=str(error))
                lease_id = ""  # it may still run: the agent settles it
        if lease_id:
            await self._release(lease_id, None, "lab_ended")
        await maybe_future(super().run_post_stop_hook())

    async def _release(
        self, lease_id: str, held: int | None, reason: str, platform_fault: bool = False
    ) -> None:
        try:
            await asyncio.to_thread(self.usage.release, lease_id, held, reason, platform_fault)
        except (UsageUnavailable, Refused) as error:
            # The agent reports that the container is gone; the service settles it then.
            event(log, "lease not released", lease=lease_id, error=str(error))

    # -- progress ----------------------------------------------------------------------------------

    def _stage(self, percent: int, message: str, **values: object) -> None:
        text = say(message, self._language, **values)
        self._stages.append({"progress": percent, "message": text})

    def _in_line(self, place: int) -> None:
        text = N_("Other labs are starting. Your place in line: {place}")
        self._stage(20, text, place=place)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Stages of the start as they are reached, for the pending page."""
        shown = 0
        while True:
            for stage in self._stages[shown:]:
                shown += 1
                yield stage
            await asyncio.sleep(_PROGRESS_PAUSE_S)
