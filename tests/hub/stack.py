"""Hub, proxy, usage service and agent on free ports with a small course; no supervisor, no grader.

What the Hub and the labs room are tested against: every process is the real one and can be
stopped or killed by name; labs are real containers of the real lab image.
"""

from __future__ import annotations

import json
import os
import secrets as random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import docker
import httpx

from cli import confined, proxy
from core import secrets
from core.clock import now
from core.settings import ROOT, Settings, environment
from core.units import gpu_hours
from hub.users import create_user
from labs import homes
from labs.network import ensure_network, remove_network
from labs.runner import socket_path
from tests.people import Person
from tests.platform import _settings_only_from, shared_node, wait_for
from tests.ports import free_ports
from usage.client import CohortSpec, UsageClient

COHORT = "autumn"
CODE = "AUTUMN-1234"
COURSE = """\
id = "{id}"
hours = 1
image = "{image}"
title = {{en = "Tiny course", ko = "작은 과정"}}
summary = {{en = "For tests", ko = "시험용"}}
{labs}
"""
LAB = """
[[labs]]
id = "{0}"
title = {{en = "Lab {0}", ko = "실습 {0}"}}
minutes = {{cpu = 10, gpu = 10}}
gpu = {{need = "{0}", isolation = "mig", memory_mb = 2000}}
"""


class Stack:
    """The running processes and how to speak to them."""

    def __init__(self, settings: Settings, client: docker.DockerClient) -> None:
        self.settings = settings
        self.docker = client
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.passwords: dict[str, str] = {}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("DLI_")},
            **environment(settings),
        }
        key = secrets.load(settings.state_dir, "key-cli")
        self.usage = UsageClient(f"http://127.0.0.1:{settings.ports.usage}/services/usage", key)
        self.hub_url = (settings.state_dir / "run" / "hub-api-url").read_text()
        token = secrets.load(settings.state_dir, "usage-hub-token")
        self.api = httpx.Client(
            base_url=self.hub_url,
            headers={"Authorization": f"token {token}"},
            trust_env=False,
            timeout=90,
        )

    # -- processes ---------------------------------------------------------------------------------

    def start(self, name: str, **extra: str) -> None:
        """Start one of proxy, runner, hub, usage, agent; `extra` is added to its environment."""
        words = {
            "proxy": ["-m", "cli.proxy"],
            "runner": ["-m", "labs.runner"],
            "hub": ["-m", "jupyterhub", "-f", str(ROOT / "jupyterhub_config.py")],
            "usage": ["-m", "usage"],
            "agent": ["-m", "labs.agent"],
        }[name]
        folder = self.settings.state_dir / "logs"
        folder.mkdir(exist_ok=True)
        with (folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.settings.state_dir,
                env={**self.environment, **extra},
                stdout=log,
                stderr=log,
            )

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """Signal one process and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def wait_for_hub(self) -> None:
        """Return when the Hub answers through the proxy and has given it the services' routes."""

        def answers() -> bool:
            site = self.settings.public_url
            try:
                well = httpx.get(f"{site}/hub/health", trust_env=False).status_code == 200
                service = httpx.get(f"{site}/services/usage/healthz", trust_env=False)
            except httpx.HTTPError:
                return False
            # 302: the proxy knows no service yet and asked the Hub. 503: it does, but it is down.
            return well and service.status_code in (200, 503)

        wait_for("the Hub", answers)

    def wait_for_usage(self) -> None:
        """Return when the usage service answers."""

        def answers() -> bool:
            try:
                url = f"http://127.0.0.1:{self.settings.ports.usage}/services/usage/"
                return httpx.get(url, trust_env=False).status_code < 500
            except httpx.HTTPError:
                return False

        wait_for("the usage service", answers)

    def logs(self) -> str:
        """The end of every log."""
        parts = []
        for file in sorted((self.settings.state_dir / "logs").glob("*.log")):
            lines = file.read_text(errors="replace").splitlines()
            lines = [line for line in lines if "/observations" not in line]
            parts.append(f"--- {file.name}\n" + "\n".join(lines[-60:]))
        return "\n".join(parts)

    # -- people and labs ---------------------------------------------------------------------------

    def add_person(self, name: str, *, admin: bool = False, enrol: bool = True) -> None:
        """An account with a generated password, in the cohort, known to the Hub."""
        self.passwords[name] = random.token_hex(8)
        create_user(self.settings, name, self.passwords[name], admin=admin)
        if enrol:
            self.usage.enrol(COHORT, name)

    def sign_in(self, name: str) -> Person:
        """A browser session of this person."""
        person = Person(self.settings.public_url)
        person.sign_in(name, self.passwords[name])
        return person

    def visitor(self) -> Person:
        """A browser session of nobody yet."""
        return Person(self.settings.public_url)

    def ask(self, name: str, lab: str, gpu: str = "no", **more: Any) -> httpx.Response:
        """Ask the Hub to start a lab, as the usage service does."""
        options = {"course": "tiny", "lab": lab, "cohort": COHORT, "gpu": gpu, "language": "en"}
        return self.api.post(f"/users/{name}/server", json={**options, **more})

    def server(self, name: str) -> dict[str, Any]:
        """The Hub's word about this person's server; empty without one."""
        answer = self.api.get(f"/users/{name}")
        if answer.status_code == 404:  # never signed in
            return {}
        found: dict[str, Any] = answer.raise_for_status().json()["servers"]
        return dict(found.get("", {}))

    def run_lab(self, name: str, lab: str, gpu: str = "no", **more: Any) -> Any:
        """Start a lab and wait until it is ready; its container."""
        answer = self.ask(name, lab, gpu, **more)
        assert answer.status_code in (201, 202), answer.text
        self.wait_for_lab(name)
        return self.container(name)

    def wait_for_lab(self, name: str) -> None:
        """Return when the Hub says that this person's lab is ready."""
        wait_for(f"{name}'s lab", lambda: self._ready(name), 180)

    def _ready(self, name: str) -> bool:
        server = self.server(name)
        assert server, f"the start of {name}'s lab failed"
        return bool(server["ready"])

    def refusal(self, name: str, lab: str, gpu: str = "no", **more: Any) -> str:
        """Start a lab that must fail; the sentence that the pending page shows."""
        person = self.sign_in(name)
        answer = self.ask(name, lab, gpu, **more)
        if answer.status_code not in (201, 202):
            return str(answer.json()["message"])
        wait_for("the end of the start", lambda: not self.server(name).get("pending"))
        page = person.get(f"/hub/spawn-pending/{name}")
        assert page.status_code >= 400, page.text
        return page.text

    def stop_lab(self, name: str) -> None:
        """Stop a lab through the Hub and wait until it is gone."""
        self.api.delete(f"/users/{name}/server").raise_for_status()
        wait_for("the end of the lab", lambda: not self.server(name))

    def stop_all_labs(self) -> None:
        """Stop whatever a failed test left running."""
        for name in self.passwords:
            if self.server(name):
                self.stop_lab(name)

    def container(self, name: str) -> Any:
        """This person's container; None without one."""
        found = self.docker.containers.list(
            all=True,
            filters={"label": [f"dli.instance={self.settings.instance}", f"dli.user={name}"]},
            ignore_removed=True,
        )
        return found[0] if found else None

    def container_state(self, name: str) -> str:
        """Docker's word for this person's container; "gone" without one."""
        found = self.container(name)
        return str(found.status) if found else "gone"


@contextmanager
def running_stack(
    docker_url: str = "", *, runner: bool = False, **overrides: Any
) -> Iterator[Stack]:
    """Everything up, one cohort with 10 GPU-hours; every trace removed at the end.

    `docker_url`: where its processes find the engine, when not where this process finds it.
    `runner`: the Hub reaches Docker through the runner, as it does in a platform.
    `overrides` are settings.
    """
    folder = Path(tempfile.mkdtemp(prefix="dli-hub-"))
    client = docker.from_env(timeout=60)
    try:
        with _settings_only_from(folder / "none.toml"):
            settings = _make_settings(folder, overrides)
            stack = _prepare(settings, client)
            if docker_url:
                stack.environment["DOCKER_HOST"] = docker_url
            try:
                _begin(stack, runner)
                yield stack
            except BaseException:
                print(stack.logs())
                raise
            finally:
                _end(stack)
    finally:
        client.close()
        shutil.rmtree(folder, ignore_errors=True)


def _make_settings(folder: Path, overrides: dict[str, Any]) -> Settings:
    names = ("public", "proxy_api", "hub", "usage", "grader")
    values: dict[str, Any] = {
        "instance": f"h-{random.token_hex(4)}",
        "state_dir": folder / "state",
        "courses_dir": folder / "courses",
        "ports": dict(zip(names, free_ports(len(names)), strict=True)),
        "gpus": {"simulated": "1x NVIDIA H100 80GB, MIG 7"},
        "site": {"language": "en"},
        "usage": {"heartbeat_seconds": 1},
        "labs": {"images": IMAGES},
    }
    for name, value in overrides.items():
        values[name] = values.get(name, {}) | value if isinstance(value, dict) else value
    return Settings(**values)


IMAGES = {"lab-cpu": "dli/lab-cpu:latest", "lab-gone": "dli/not-there:1"}


def write_course(settings: Settings, name: str = "tiny", image: str = "lab-cpu") -> None:
    """A course with one lab for each GPU need, and empty material for it."""
    course = settings.courses_dir / name
    course.mkdir(parents=True)
    needs = ("none", "optional", "required")
    labs = "".join(LAB.format(need) for need in needs)
    (course / "course.toml").write_text(COURSE.format(id=name, image=image, labs=labs))
    for need in needs:
        (course / "labs" / need).mkdir(parents=True)
        notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (course / "labs" / need / "one.ipynb").write_text(json.dumps(notebook))
    for language in ("en", "ko"):
        (settings.state_dir / "materials" / name / language).mkdir(parents=True)


def _prepare(settings: Settings, client: docker.DockerClient) -> Stack:
    (settings.state_dir / "run").mkdir(parents=True)
    secrets.ensure(settings.state_dir)
    write_course(settings)
    write_course(settings, "gone", "lab-gone")
    (settings.state_dir / "node").symlink_to(shared_node(settings))
    gateway = ensure_network(client, settings)
    url = f"http://{gateway}:{settings.ports.hub}/hub/api"
    (settings.state_dir / "run" / "hub-api-url").write_text(url)
    assert proxy.hub_url(settings) == url.removesuffix("/hub/api")
    return Stack(settings, client)


def _begin(stack: Stack, runner: bool) -> None:
    for name in ("proxy", "usage", "agent"):
        stack.start(name)
    if runner:
        confined.ensure_account()  # the socket is given to it; here the Hub stays who it is
        stack.start("runner")
        stack.start("hub", DOCKER_HOST=f"unix://{socket_path(stack.settings)}")
    else:
        stack.start("hub")
    stack.wait_for_usage()
    moment = now()
    stack.usage.create_cohort(
        CohortSpec(
            id=COHORT,
            name="Autumn",
            starts=(moment - timedelta(days=1)).isoformat(),
            ends=(moment + timedelta(days=1)).isoformat(),
            courses=["tiny", "gone"],
        )
    )
    stack.usage.grant(COHORT, gpu_hours("10"), "test", "start", "grant-1")
    stack.usage.create_code(COHORT, CODE, seats=2)
    stack.wait_for_hub()


def _end(stack: Stack) -> None:
    for name in list(stack.processes):
        stack.stop(name)
    stack.usage.close()
    stack.api.close()
    label: Any = {"label": f"dli.instance={stack.settings.instance}"}
    deadline = time.monotonic() + 180
    for container in stack.docker.containers.list(all=True, filters=label, ignore_removed=True):
        container.remove(force=True, v=True)
    remove_network(stack.docker, stack.settings)
    while left := stack.docker.volumes.list(filters=label):
        for volume in left:
            volume.remove(force=True)
        assert time.monotonic() < deadline, f"volumes left: {left}"
    homes.detach_all(stack.settings)
