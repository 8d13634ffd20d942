"""The agent of one GPU host: `python -m labs.agent`.

It says which GPUs the host has, reports how long each GPU lab has been held, and ends what has no
time left. Three things go on at their own pace, so that a slow one delays no other: looking at
Docker (every second), the heartbeat to the usage service, and enforcing (at each lab's deadline,
and five times a second, from memory alone). The kernel tells when a lab's process ends, so that it
is charged to that moment. Without the usage service the agent keeps to the last orders, which it
also keeps on disk.

It needs the host's pid numbers: run it on the host, as a user who may use Docker and signal the
labs' processes (root).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import docker
import requests
from docker.errors import DockerException

from core import log, secrets, settings
from core.clock import boot_id, boot_ms
from core.log import event
from core.settings import Settings
from core.wire import LeaseOrder, Observation, Slot
from labs import inventory, network
from labs.every import Every
from labs.exits import Exits
from labs.gpu_watch import GpuWatch
from labs.held import started_ms
from labs.simulated import SimulationError
from labs.watch import Deed, Memory, Watched, deed, next_deed_ms, report
from usage.client import Refused, UsageClient, UsageUnavailable

_log = logging.getLogger("labs.agent")

TICK_S = 0.2
LOOK_S = 1.0
INVENTORY_S = 60.0
LOOK_OVERDUE_MS = 9_000
"""Without a look for so long (Docker does not answer) reports go on without one."""
NICENESS = -10
GUARD_S = 60.0
_SIGNALS = {Deed.ASK: signal.SIGTERM, Deed.KILL: signal.SIGKILL}
_USAGE_ERRORS = (UsageUnavailable, Refused)
_DOCKER_ERRORS = (DockerException, requests.RequestException, OSError)


class Agent:
    """Watches the labs of this host. `run` returns after `stop`."""

    def __init__(self, settings: Settings, usage: UsageClient, host: str) -> None:
        self.settings = settings
        self.host = host
        self._usage = usage
        self._docker: Any = None
        self._file = settings.state_dir / "run" / "agent.json"
        memory = Memory.load(self._file, boot_id(), boot_ms())
        self._orders = memory.orders
        self._labs = memory.labs
        self._lock = threading.Lock()
        self._exits = Exits()
        self._gpus = GpuWatch()
        self._ended = False
        self._looked_ms = 0
        self._beat_ms = boot_ms() - LOOK_OVERDUE_MS  # the first report does not wait
        for lab in self._labs.values():
            self._follow(lab)
        self._told: set[tuple[str, Deed]] = set()
        self._ignored: set[str] = set()
        self._last_inventory: list[Slot] | None = None
        self._usage_answers = True
        self._saved: Memory | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End `run` at its next tick."""
        self._stopped.set()

    def run(self) -> None:
        """Watch until `stop`."""
        with ThreadPoolExecutor(6, "agent") as pool:
            turns = [
                Every(pool, LOOK_S, self.look),
                Every(
                    pool,
                    float(self.settings.usage.heartbeat_seconds),
                    self.beat,
                    lambda: self._ended or not self._usage_answers,
                ),
                Every(pool, LOOK_S, self.save),
                Every(pool, INVENTORY_S, self.tell_inventory, self._needs_inventory),
                Every(pool, GUARD_S, self.guard),
                Every(pool, LOOK_S, self.look_at_gpus),
            ]
            while not self._stopped.is_set():
                self._note_ends(self._exits.wait(self.enforce()))
                for turn in turns:
                    turn.maybe()
        self.save()
        self._exits.close()

    # -- GPUs --------------------------------------------------------------------------------------

    def tell_inventory(self) -> None:
        """Read this host's GPUs and put them to the usage service."""
        try:
            slots = inventory.read(self.settings, self.host)
            self._note_simulation(slots)
            self._usage.put_inventory(self.host, slots)
        except inventory.InventoryError as error:
            event(_log, "inventory not readable", host=self.host, error=str(error))
        except _USAGE_ERRORS as error:
            event(_log, "inventory not told", host=self.host, error=str(error))
        else:
            if slots != self._last_inventory:
                event(_log, "inventory told", host=self.host, slots=len(slots))
            self._last_inventory = slots

    def _needs_inventory(self) -> bool:
        """Until the first one is told, every tick that the last attempt is over."""
        return self._last_inventory is None

    def _note_simulation(self, slots: list[Slot]) -> None:
        """Pages say that GPUs are simulated as long as this note lies there."""
        note = self.settings.state_dir / "run" / "simulated-gpu"
        if any(slot.simulated for slot in slots):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(self.settings.gpus.simulated, encoding="utf-8")
        else:
            note.unlink(missing_ok=True)

    # -- the labs' network -------------------------------------------------------------------------

    def guard(self) -> None:
        """Set the firewall's rules again if a reboot or another program took them away."""
        try:
            client = docker.from_env(timeout=20)
            try:
                network.guard(client, self.settings)
            finally:
                client.close()
        except _DOCKER_ERRORS as error:
            event(_log, "docker does not answer", host=self.host, error=str(error))

    # -- looking at Docker -------------------------------------------------------------------------

    def look(self) -> None:
        """Find labs that were started since the last look."""
        wanted = [f"dli.instance={self.settings.instance}", "dli.kind"]
        began = boot_ms()
        try:
            listed = self._api().containers(filters={"label": wanted})
            found = [item for item in listed if item["Labels"]["dli.kind"] in ("lab", "grading")]
            new = [item["Id"] for item in found if self._is_new(item["Id"])]
            for container_id in new:
                self._add(container_id)
        except _DOCKER_ERRORS as error:
            event(_log, "docker does not answer", host=self.host, error=str(error))
            self._docker = None
            return
        self._ignored.intersection_update(item["Id"] for item in found)
        self._looked_ms = began

    def _is_new(self, container_id: str) -> bool:
        return container_id not in self._labs and container_id not in self._ignored

    def _add(self, container_id: str) -> None:
        try:
            found = self._api().inspect_container(container_id)
        except docker.errors.NotFound:
            return
        labels = found["Config"]["Labels"] or {}
        lease_id = labels.get("dli.lease", "")
        if not lease_id and not _devices(found["HostConfig"]):
            self._ignored.add(container_id)  # a lab without GPU: its own deadline is enough
            return
        pid = found["State"]["Pid"]
        started = started_ms(pid) if pid else None
        if started is None:
            return  # not running yet, or no longer
        grant = int(labels.get("dli.grant-ms", "0"))
        devices = _devices(found["HostConfig"])
        lab = Watched(container_id, lease_id, pid, started, grant, devices=devices)
        with self._lock:
            self._labs[container_id] = lab.at(boot_ms())
        self._follow(lab)
        event(_log, "lab seen", lease=lease_id, container=container_id[:12])

    def _follow(self, lab: Watched) -> None:
        """Be told when its process ends; of one that is gone already `_measure` notes the end."""
        if lab.running:
            self._exits.watch(lab.container_id, lab.pid, lab.started_ms)

    def _api(self) -> Any:
        if self._docker is None:
            self._docker = docker.from_env(timeout=20).api
        return self._docker

    def look_at_gpus(self) -> None:
        """See which labs leave their GPUs alone, and who holds one without a lease."""
        with self._lock:
            labs = [lab for lab in self._labs.values() if lab.running]
        self._gpus.look(labs, boot_ms())

    # -- heartbeat ---------------------------------------------------------------------------------

    def beat(self) -> None:
        """Report held times, take the orders. What failed is tried again a second later.

        It waits for a look that began after the last report, and says so when there was none: the
        usage service closes a lease whose container two reports do not name, and a lab that a slow
        Docker has just started is no such.
        """
        looked = self._looked_ms > self._beat_ms
        if not looked and boot_ms() - self._beat_ms < LOOK_OVERDUE_MS:
            return
        self._measure()
        with self._lock:
            labs = list(self._labs.values())
            news, self._ended = self._ended, False
        now = self._beat_ms = boot_ms()
        try:
            seen = report(labs, now, self._gpus.quiet_ms)
            told = Observation(boot_id(), seen, self._gpus.strays(now), looked)
            orders = self._usage.observe(self.host, told)
        except _USAGE_ERRORS as error:
            self._usage_is(False, str(error))
            self._ended = self._ended or news
        else:
            self._usage_is(True)
            self._take(orders, [lab for lab in labs if not lab.reported_running(now)])

    def _take(self, orders: list[LeaseOrder], ended: list[Watched]) -> None:
        done = {lab.container_id for lab in ended}
        with self._lock:
            self._labs = {key: lab for key, lab in self._labs.items() if key not in done}
            alive = {lab.lease_id for lab in self._labs.values()}
            known = self._orders | {order.lease_id: order for order in orders}
            self._orders = {key: order for key, order in known.items() if key in alive}
            self._told = {told for told in self._told if told[0] in self._labs}

    def _usage_is(self, answers: bool, error: str = "") -> None:
        if answers != self._usage_answers:
            name = "usage service answers" if answers else "usage service does not answer"
            event(_log, name, host=self.host, error=error)
        self._usage_answers = answers

    def save(self) -> None:
        """Keep held times and orders on disk, apart from the heartbeat: while that waits for an
        answer an agent that dies must not forget how long its labs were held."""
        with self._lock:
            memory = Memory(boot_id(), dict(self._orders), dict(self._labs))
        if memory == self._saved:
            return
        try:
            memory.save(self._file)
            self._saved = memory
        except OSError as error:
            event(_log, "orders not kept on disk", error=str(error))

    # -- enforcing ---------------------------------------------------------------------------------

    def enforce(self) -> float:
        """Measure every lab and end those whose time is over. Uses no network and no Docker.

        Seconds until it should be called again.
        """
        self._measure()
        now = boot_ms()
        grace = int(self.settings.usage.stop_grace_seconds * 1000)
        with self._lock:
            labs = list(self._labs.values())
            orders = dict(self._orders)
        for lab in labs:
            what = deed(lab, orders.get(lab.lease_id), now, grace)
            if what is not Deed.LEAVE and (lab.container_id, what) not in self._told:
                self._end(lab, what, orders.get(lab.lease_id))
        left = [next_deed_ms(lab, orders.get(lab.lease_id), now, grace) for lab in labs]
        return min([TICK_S, *(ms / 1000 for ms in left if ms is not None)])

    def _measure(self) -> None:
        """Bring held times up to now; note which labs are gone and which were ordered to end."""
        now = boot_ms()
        with self._lock:
            for key, lab in self._labs.items():
                if not lab.running:
                    continue
                if started_ms(lab.pid) != lab.started_ms:
                    if not self._exits.watches(key):  # else the kernel tells the moment just now
                        self._labs[key] = lab.ended(now)
                    continue
                seen = lab.at(now)
                order = self._orders.get(lab.lease_id)
                if order is not None and order.stop and seen.over_since_ms is None:
                    seen = replace(seen, over_since_ms=now)
                self._labs[key] = seen

    def _note_ends(self, containers: list[str]) -> None:
        """Note that the kernel has told the end of these labs at this moment."""
        now = boot_ms()
        with self._lock:
            for key in containers:
                lab = self._labs.get(key)
                if lab is not None and lab.running:
                    self._labs[key] = lab.ended_just_now(now)
                    self._ended = True

    def _end(self, lab: Watched, what: Deed, order: LeaseOrder | None) -> None:
        """Signal the lab's first process; when it ends, the kernel ends all others in there."""
        self._told.add((lab.container_id, what))
        try:
            if started_ms(lab.pid) == lab.started_ms:  # the number is still this process's
                os.kill(lab.pid, _SIGNALS[what])
        except ProcessLookupError:
            return
        except PermissionError:
            self._end_through_docker(lab, what)
        event(
            _log,
            f"lab ended by agent: {what.value}",
            lease=lab.lease_id,
            container=lab.container_id[:12],
            held_ms=lab.held_ms,
            grant_ms=order.grant_ms if order else lab.grant_ms,
            reason=(order.reason if order else "") or "grant used",
        )

    def _end_through_docker(self, lab: Watched, what: Deed) -> None:
        try:
            self._api().kill(lab.container_id, signal=_SIGNALS[what].name)
        except _DOCKER_ERRORS as error:
            self._told.discard((lab.container_id, what))  # tried again at the next tick
            event(_log, "lab not ended", container=lab.container_id[:12], error=str(error))


def _devices(host_config: dict[str, Any]) -> list[str]:
    """The GPUs that a container was given; a request without ids asks for any: named so."""
    requests = host_config.get("DeviceRequests") or []
    return [str(one) for request in requests for one in request.get("DeviceIDs") or ["any"]]


def main() -> int:
    """Exit status: 0 after an orderly stop, 2 when the settings are wrong."""
    log.setup()
    try:
        loaded = settings.load()
        inventory.read(loaded)
        key = secrets.load(loaded.state_dir, "key-agent")
    except (settings.SettingsError, SimulationError, FileNotFoundError) as error:
        print(f"labs.agent: {error}", file=sys.stderr)
        return 2
    except inventory.InventoryError as error:
        print(f"labs.agent: {error}", file=sys.stderr)  # and go on: the driver may come back
    usage = UsageClient(f"http://127.0.0.1:{loaded.ports.usage}/services/usage", key)
    agent = Agent(loaded, usage, inventory.host_name())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    with contextlib.suppress(PermissionError):
        # Before its threads start, which inherit it: fifty labs that end together, each with its
        # processes and Docker's, must not keep the one that ends them waiting.
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
