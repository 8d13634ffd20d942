"""What `cap` runs on: a usage service and an agent of their own, and labs of a tiny image."""

from __future__ import annotations

import contextlib
import os
import secrets as random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from core import secrets
from core.course import Course, load
from core.settings import Settings, environment
from core.wire import Lease
from labs import containers
from tests.docker import tiny_image
from tests.hub.stack import write_course
from tests.platform import _settings_only_from, free_ports, wait_for
from usage.client import Charge, UsageClient, UsageUnavailable

COURSE = "tiny"
STUBBORN = ["sh", "-c", 'trap "" TERM INT HUP; while :; do sleep 1000; done']
"""Goes on after a polite signal, as a learner's own process may."""


@dataclass
class World:
    """The running services and how to make labs."""

    settings: Settings
    docker: docker.DockerClient
    admin: UsageClient
    hub: UsageClient
    """As the Hub calls the usage service."""
    course: Course

    def create(self, lease: Lease, ignores_signals: bool) -> str:
        """A lab's container, not started; its id."""
        lab = self.course.lab(lease.lab)
        assert lab is not None
        plan = containers.plan(
            lease, self.course, lab, lease.username, "en", "127.0.0.1", self.settings
        )
        api: Any = self.docker.api
        api.create_volume(plan.volume, labels=plan.volume_labels)
        made = api.create_container(
            image=plan.image,
            name=plan.name,
            entrypoint=plan.entrypoint,
            command=STUBBORN if ignores_signals else ["sleep", "86400"],
            environment=plan.environment,
            user=plan.user,
            working_dir=plan.working_dir,
            labels=plan.labels,
            host_config=api.create_host_config(**plan.host_config),
        )
        return str(made["Id"])

    def start(self, container: str) -> int:
        """Start it; the pid of its first process."""
        api: Any = self.docker.api
        api.start(container)
        return int(api.inspect_container(container)["State"]["Pid"])

    def settled(self, cohort: str) -> dict[str, Charge]:
        """The cohort's charges by lease, once all its leases have ended."""

        def charges() -> list[Charge]:
            found = self.admin.charges(cohort)
            return found if all(charge.state == "ended" for charge in found) else []

        return {charge.lease_id: charge for charge in wait_for("settled leases", charges, 60)}

    def clear(self) -> None:
        """Remove all labs and their homes."""
        label = {"label": f"dli.instance={self.settings.instance}"}
        for container in self.docker.containers.list(all=True, filters=label, ignore_removed=True):
            with contextlib.suppress(NotFound):
                container.remove(force=True, v=True)
        for volume in self.docker.volumes.list(filters=label):
            volume.remove(force=True)


@contextmanager
def world(labs: int, say: Callable[[str], None]) -> Iterator[World]:
    """Start the services with enough simulated slices for `labs`; remove every trace."""
    folder = Path(tempfile.mkdtemp(prefix="dli-cap-"))
    client = docker.from_env(timeout=120)
    instance = f"cap-{random.token_hex(4)}"
    image = tiny_image.load(client, f"{instance}-tiny:1")
    try:
        with _settings_only_from(folder / "none.toml"):
            settings = _settings(folder, instance, image, labs)
            say("starting the usage service and the agent")
            with _services(settings) as (admin, hub):
                found = World(
                    settings,
                    client,
                    admin,
                    hub,
                    load(settings.courses_dir / COURSE, settings.labs.images),
                )
                try:
                    yield found
                finally:
                    found.clear()
    finally:
        client.images.remove(image, force=True)
        client.close()
        shutil.rmtree(folder, ignore_errors=True)


def _settings(folder: Path, instance: str, image: str, labs: int) -> Settings:
    names = ("public", "proxy_api", "hub", "usage", "grader")
    settings = Settings(
        instance=instance,
        state_dir=folder / "state",
        courses_dir=folder / "courses",
        ports=dict(zip(names, free_ports(len(names)), strict=True)),
        gpus={"simulated": f"{-(-labs // 7)}x NVIDIA H100 80GB, MIG 7"},
        # Short grants, so that the budget's last ones end within seconds of each other; nothing is
        # free, so that what was charged says what was held.
        usage={"heartbeat_seconds": 1, "grant_seconds": 20, "free_failure_minutes": 0},
        labs={"images": {"lab-cpu": image}, "network": "none", "memory_mb": 256},
    )
    (settings.state_dir / "run").mkdir(parents=True)
    (settings.state_dir / "run" / "hub-api-url").write_text("http://127.0.0.1:9/hub/api")
    secrets.ensure(settings.state_dir)
    write_course(settings)
    return settings


@contextmanager
def _services(settings: Settings) -> Iterator[tuple[UsageClient, UsageClient]]:
    log = settings.state_dir / "log"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DLI_")}
    processes = []
    with log.open("wb") as output:
        for module in ("usage", "labs.agent"):
            words = [sys.executable, "-m", module]
            processes.append(
                subprocess.Popen(
                    words,
                    cwd=settings.state_dir,
                    env=kept | environment(settings),
                    stdout=output,
                    stderr=output,
                )
            )
    url = f"http://127.0.0.1:{settings.ports.usage}/services/usage"
    clients = [
        UsageClient(url, secrets.load(settings.state_dir, key), timeout=30)
        for key in ("key-cli", "key-hub")
    ]
    try:
        _wait_for_slots(clients[0], settings)
        yield clients[0], clients[1]
    except BaseException:
        print(log.read_text(errors="replace")[-8000:], file=sys.stderr)
        raise
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        for client in clients:
            client.close()


def _wait_for_slots(admin: UsageClient, settings: Settings) -> None:
    """The service answers, and the agent has told it the GPUs."""

    def answers() -> bool:
        try:
            admin.enrolments("nobody")
        except UsageUnavailable:
            return False
        return (settings.state_dir / "run" / "simulated-gpu").exists()

    wait_for("the usage service and the agent", answers, 60)
    time.sleep(2)  # the note is written just before the service is told
