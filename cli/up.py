"""Bring the whole platform up, step by step. Every step is harmless to repeat and quick then."""

from __future__ import annotations

from dataclasses import dataclass

import docker

from cli import confined, engine, health, ports, supervisor
from cli.demo import Demo, ensure_demo
from cli.steps import Steps
from cli.supervised import Supervised
from cli.text import _
from core import secrets
from core.settings import Settings


@dataclass(frozen=True)
class Platform:
    """A platform that is up."""

    settings: Settings
    demo: Demo | None
    restarted: bool
    """False when it ran already, with these settings and this code."""


def bring_up(
    settings: Settings,
    steps: Steps,
    *,
    unit: bool = False,
    demo: bool = True,
    development: bool = False,
) -> Platform:
    """Everything that `./dli up` does after the settings are read.

    With `unit`, as a systemd unit where systemd runs; `development` adds what only tests need.
    Raises CliError or an error of the room that
    failed (cli.errors.explain knows them).
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    client = _engine(settings, steps)
    _node(settings, steps, development)
    _images(settings, steps, client)
    gateway = _network(settings, steps, client)
    _materials(settings, steps)
    restarted = _processes(settings, steps, gateway, unit)
    made = None
    if demo:
        with steps.step(_("Demo cohort and people")) as step:
            made = ensure_demo(settings, step.detail)
    return Platform(settings, made, restarted)


def _engine(settings: Settings, steps: Steps) -> docker.DockerClient:
    with steps.step(_("Docker engine")) as step:
        client = engine.ensure(settings.instance, step.detail)
        step.note(str(client.version()["Version"]))
        return client


def _node(settings: Settings, steps: Steps, development: bool) -> None:
    from web import assets

    with steps.step(_("Proxy and page assets (npm)")):
        assets.install(settings.state_dir, development=development)


def _images(settings: Settings, steps: Steps, client: docker.DockerClient) -> None:
    from cli import images

    with steps.step(_("Container images")) as step:
        images.ensure(settings, client, step.detail)


def _network(settings: Settings, steps: Steps, client: docker.DockerClient) -> str:
    from labs import network

    with steps.step(_("Secrets and the labs' private network")) as step:
        secrets.ensure(settings.state_dir)
        confined.ensure_account()
        gateway = network.ensure_network(client, settings)
        folder = supervisor.run_dir(settings)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = f"http://{gateway}:{settings.ports.hub}/hub/api"
        (folder / "hub-api-url").write_text(url + "\n")
        step.note(gateway)
        return gateway


def _materials(settings: Settings, steps: Steps) -> None:
    from grader import material

    with steps.step(_("Course materials")):
        material.build_all(settings)


def _processes(settings: Settings, steps: Steps, gateway: str, unit: bool) -> bool:
    running = Supervised(supervisor.run_dir(settings)).running()
    with steps.step(_("Proxy, Hub, runner, usage, grader, agent")) as step:
        changed = supervisor.write(settings)
        if running and changed:
            step.detail(_("settings or code changed: stopping"))
            supervisor.stop(settings)
        if changed or not running:
            ports.check(settings, gateway)
            step.detail(_("starting"))
            supervisor.start(settings, unit)
        else:
            step.note(_("already running"))
        health.wait(settings, step.detail)
    return changed or not running
