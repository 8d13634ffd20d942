"""Stop the platform; with purge, remove everything it ever made on this machine."""

from __future__ import annotations

import shutil
import time
from typing import Any

import docker
import docker.errors

from cli import engine, supervisor
from cli.images import BUILT_LABEL
from cli.steps import Report, Steps
from cli.supervised import Supervised
from cli.text import _
from core.settings import Settings, settings_file

_LAB_STOP_S = 5
_STARTERS = ("proxy", "hub", "worker")


def bring_down(settings: Settings, steps: Steps) -> None:
    """Stop every process and lab of this instance; data stays.

    What starts containers goes first, so that no new one appears; the agent and the usage service
    last, so that the labs' last minutes are still charged.
    """
    supervised = Supervised(supervisor.run_dir(settings))
    with steps.step(_("Stop labs and grading")) as step:
        running = supervised.running()
        if running:
            for state in supervised.states():
                if state.pid and state.name.startswith(_STARTERS):
                    step.detail(state.name)
                    supervised.stop_process(state.name)
        stopped, leased = stop_containers(settings, step.detail)
        step.note(str(stopped))
        if running and leased:
            step.detail(_("waiting for the last charge"))
            time.sleep(settings.usage.heartbeat_seconds + 1)
    with steps.step(_("Stop the platform's processes")) as step:
        if not supervisor.stop(settings):
            step.note(_("none ran"))


def leave_engine(settings: Settings, steps: Steps) -> None:
    """Stop the engine if we started it and nobody else uses it."""
    if engine.started_by_us():
        with steps.step(_("Docker engine")) as step:
            stopped = engine.release(settings.instance, step.detail)
            step.note(_("stopped") if stopped else _("stays: in use"))


def stop_containers(settings: Settings, report: Report) -> tuple[int, bool]:
    """Stop and remove this instance's containers: how many, and whether one held a lease.

    A lab's files are on its person's volume, so its container holds nothing to keep.
    """
    try:
        client = engine.connect()
    except engine.EngineDown:
        return 0, False
    found = client.containers.list(all=True, filters=_ours(settings), ignore_removed=True)
    for container in found:
        report(str(container.name))
        _gone(lambda c=container: c.stop(timeout=_LAB_STOP_S))
        _gone(lambda c=container: c.remove(force=True, v=True))
    client.close()
    return len(found), any(container.labels.get("dli.lease") for container in found)


def purge(settings: Settings, steps: Steps, *, images: bool = True) -> None:
    """Remove containers, volumes, networks, images and the state folder of this instance.

    `images`: those that we built too, unless another instance of this machine is there.
    """
    with steps.step(_("Remove volumes, networks and images")) as step:
        try:
            client = engine.connect()
        except engine.EngineDown as problem:
            step.note(_("skipped: no Docker engine answers"))
            step.detail(str(problem))
        else:
            _purge_docker(settings, client, step.detail, images)
            client.close()
    with steps.step(_("Remove {folder}", folder=settings.state_dir)):
        _remove_state(settings)


def settings_file_is_ours() -> bool:
    """True when dli.toml is still as the first `./dli up` wrote it."""
    from cli.first_run import first_settings
    from cli.settings_doc import EXAMPLE

    if not settings_file().exists():
        return False
    text = settings_file().read_text(encoding="utf-8")
    example = EXAMPLE.read_text(encoding="utf-8")
    return text in (first_settings(example, True), first_settings(example, False))


def _purge_docker(
    settings: Settings, client: docker.DockerClient, report: Report, images: bool
) -> None:
    for volume in client.volumes.list(filters=_ours(settings)):
        report(str(volume.name))
        _gone(lambda v=volume: v.remove(force=True))
    _detach_homes(settings, report)
    for network in client.networks.list(filters=_ours(settings)):
        report(str(network.name))
        _gone(network.remove)
    _open_firewall(settings, report)
    if images:
        needed = _others(settings, client)
        for image in client.images.list(filters={"label": BUILT_LABEL}):
            name = ", ".join(image.tags) or image.short_id
            if needed:
                report(f"{name}: {_('stays: in use')} ({', '.join(sorted(needed))})")
                continue
            report(name)
            _gone(lambda i=image: client.images.remove(i.id, force=True))


def _others(settings: Settings, client: docker.DockerClient) -> set[str]:
    """Other instances of this machine, running or down: each has a network until it is purged."""
    networks = client.networks.list(filters={"label": "dli.instance"})
    found = {(network.attrs.get("Labels") or {}).get("dli.instance", "") for network in networks}
    return found - {"", settings.instance}


def _detach_homes(settings: Settings, report: Report) -> None:
    from labs import homes

    try:
        homes.detach_all(settings)
    except homes.HomeError as error:
        report(str(error))


def _open_firewall(settings: Settings, report: Report) -> None:
    from labs import firewall

    try:
        firewall.remove(settings)
    except firewall.FirewallError as error:
        report(str(error))


def _remove_state(settings: Settings) -> None:
    """The state folder, but never a folder that is not one."""
    folder = settings.state_dir
    if folder.is_symlink() or not (folder / "run").is_dir():
        return
    shutil.rmtree(folder)


def _ours(settings: Settings) -> dict[str, Any]:
    return {"label": f"dli.instance={settings.instance}"}


def _gone(remove: Any) -> None:
    """Call `remove`; somebody else having removed it is what we wanted."""
    try:
        remove()
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code != 409:  # 409: its removal is under way, or a child image is first
            raise
