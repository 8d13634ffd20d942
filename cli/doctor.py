"""What is present, missing or simulated on this machine, with the remedy for each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from cli import browser, engine, proxy
from cli.errors import explain
from cli.supervised import Supervised
from cli.supervisor import run_dir
from cli.system import distribution, os_release, systemd_runs
from cli.text import _
from cli.wrong_settings import check_named
from core import settings as core_settings
from core.programs import which
from core.settings import Settings

State = Literal["ok", "simulated", "warning", "missing"]

_GIB = 1 << 30
NEEDED_DISK = 12 * _GIB
"""Images and build cache take about 6 GiB; the rest is for people's files."""


@dataclass(frozen=True)
class Check:
    """One row. `missing` means that the platform cannot run; a `warning` does not stop it."""

    name: str
    state: State
    found: str
    remedy: str = ""

    @property
    def blocks(self) -> bool:
        """True when the platform cannot run because of it."""
        return self.state == "missing"


def examine() -> list[Check]:
    """Every check. A check that itself fails becomes a row, never a traceback."""
    try:
        settings = core_settings.load()
        check_named(settings)
    except ValueError as error:  # each has its sentence
        remedy = _("Correct it, then try again")
        return [Check(_("Settings"), "missing", str(explain(error) or error), remedy)]
    checks: list[Callable[[Settings], Iterator[Check]]] = [
        _system,
        _python,
        _engine,
        _iptables,
        _lab_network,
        _lab_names,
        _node,
        _gpus,
        _toolkit,
        _resources,
        _homes,
        _services,
        _browser,
    ]
    found: list[Check] = []
    for check in checks:
        try:
            found.extend(check(settings))
        except Exception as error:
            told = explain(error) or error
            found.append(Check(check.__name__.strip("_"), "warning", str(told)))
    return found


def system_check(release: str) -> Check:
    """From the text of /etc/os-release: is this one of the systems that `./dli up` is made for?"""
    words = os_release(release)
    name = words.get("PRETTY_NAME") or "?"
    if distribution(release) == "other":
        remedy = _("Made for Debian 12 and Ubuntu 24.04: install missing packages yourself")
        return Check(_("System"), "warning", name, remedy)
    return Check(_("System"), "ok", name)


def _system(_settings: Settings) -> Iterator[Check]:
    file = Path("/etc/os-release")
    yield system_check(file.read_text(encoding="utf-8") if file.exists() else "")


def _python(_settings: Settings) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", "ok", f"{version} ({sys.prefix})")
    file = core_settings.settings_file()
    yield Check(
        _("Settings"), "ok", str(file) if file.exists() else _("defaults; ./dli up writes a file")
    )


def _engine(settings: Settings) -> Iterator[Check]:
    try:
        client = engine.connect()
    except engine.EngineDown as problem:
        yield Check("Docker", "missing", str(problem), _("./dli up, or: ") + problem.remedy)
        return
    info: dict[str, Any] = client.info()
    ours = _(", started by ./dli") if engine.started_by_us() else ""
    yield Check("Docker", "ok", f"{info['ServerVersion']}{ours}")
    yield socket_check(os.geteuid() == 0, info.get("SecurityOptions") or [])
    yield storage_check(info["Driver"])
    cgroup = f"v{info.get('CgroupVersion', '1')} ({info.get('CgroupDriver', '?')})"
    limits = bool(info.get("MemoryLimit")) and bool(info.get("PidsLimit", True))
    yield Check(
        "cgroup",
        "ok" if limits else "missing",
        cgroup if limits else _("{cgroup}, without memory or pids limits", cgroup=cgroup),
        "" if limits else _("Boot with cgroup v2, or mount the memory and pids controllers"),
    )
    yield from _images(settings, client)


def socket_check(root: bool, options: list[str]) -> Check:
    """Who owns the machine when somebody takes over the Hub?"""
    name = _("Hub and Docker")
    if root:
        return Check(
            name, "ok", _("the Hub runs as {name}, without Docker's socket", name="dli-hub")
        )
    if any("rootless" in option for option in options):
        return Check(name, "ok", _("Docker is rootless: it has no more rights than this account"))
    found = _("the Hub runs as this account, which may use Docker and so owns the machine")
    return Check(name, "warning", found, _("Start the platform as root, or use rootless Docker"))


def storage_check(driver: str) -> Check:
    """`vfs` copies every image for every lab: it works and fills the disk."""
    if driver == "vfs":
        remedy = _("Use overlay2: put /var/lib/docker on ext4 or xfs")
        return Check(_("Storage driver"), "warning", driver, remedy)
    return Check(_("Storage driver"), "ok", driver)


def _images(settings: Settings, client: Any) -> Iterator[Check]:
    import docker.errors

    names = [settings.labs.images.get("lab-cpu", ""), settings.labs.sandbox_image]
    for name in filter(None, names):
        try:
            size = client.images.get(name).attrs["Size"] / _GIB
            yield Check(_("Image"), "ok", f"{name} ({size:.1f} GiB)")
        except docker.errors.ImageNotFound:
            yield Check(_("Image"), "missing", name, _("./dli up builds it"))


def _iptables(_settings: Settings) -> Iterator[Check]:
    path = which("iptables")
    remedy = "" if path else "sudo apt-get install iptables"
    yield Check("iptables", "ok" if path else "missing", path or "–", remedy)


def _lab_network(settings: Settings) -> Iterator[Check]:
    """May labs reach services of this machine that they have no business with?"""
    from labs import network

    client = engine.connect()
    try:
        guarded = network.guarded(client, settings)
    finally:
        client.close()
    name = _("Labs' network")
    if guarded is None:
        yield Check(name, "warning", _("not made yet"), "./dli up")
    elif guarded:
        yield Check(name, "ok", _("labs reach only the proxy and the Hub on this machine"))
    else:
        found = _("labs reach every service of this machine that listens on all addresses")
        yield Check(name, "warning", found, _("./dli up as root sets the firewall's rules"))


def _lab_names(settings: Settings) -> Iterator[Check]:
    yield names_check(settings.site.subdomains)


def names_check(subdomains: bool) -> Check:
    """Does a lab's page share the platform's origin, with only the door between?"""
    name = _("Labs' names")
    if subdomains:
        return Check(name, "ok", _("each lab has a name, and so an origin, of its own"))
    return Check(
        name,
        "warning",
        _("labs share the platform's origin; only their owners can open them"),
        _("Safer: site.subdomains in dli.toml (docs/security.md)"),
    )


def _node(settings: Settings) -> Iterator[Check]:
    from web import assets

    version = subprocess.run(
        [proxy.node(), "--version"], capture_output=True, text=True, check=False
    )
    yield Check("Node", "ok" if version.returncode == 0 else "missing", version.stdout.strip())
    modules = assets.node_folder(settings.state_dir) / "node_modules"
    there = (modules / "configurable-http-proxy").is_dir()
    yield Check(
        "configurable-http-proxy",
        "ok" if there else "missing",
        str(modules) if there else "–",
        "" if there else _("./dli up installs it"),
    )


def _gpus(settings: Settings) -> Iterator[Check]:
    from labs import inventory

    host = inventory.host_name()
    real = inventory.read_nvml(host, settings.gpus.seats)
    if real:
        yield Check("NVML", "ok", _("driver answers"))
        yield Check("GPU", "ok", _gpu_words(real))
        return
    yield Check("NVML", "warning", _("no NVIDIA driver answers"), _("Install one to use real GPUs"))
    slots = inventory.read(settings)
    if slots:
        yield Check(
            "GPU",
            "simulated",
            f"{settings.gpus.simulated}: {_gpu_words(slots)}",
            _("Labs start without a GPU device. gpus.simulated in dli.toml decides"),
        )
    else:
        yield Check("GPU", "warning", _("none"), _("Only labs without a GPU start"))


def _gpu_words(slots: list[Any]) -> str:
    gpus = len({slot.gpu for slot in slots})
    return _(
        "{slots} slots on {gpus} GPUs ({model})", slots=len(slots), gpus=gpus, model=slots[0].model
    )


def _toolkit(_settings: Settings) -> Iterator[Check]:
    name = "nvidia-container-toolkit"
    program = which("nvidia-ctk")
    if program is None:
        needed = which("nvidia-smi") is not None
        remedy = _("Install {name} 1.17.8 or newer", name=name) if needed else ""
        yield Check(name, "missing" if needed else "warning", _("not installed"), remedy)
        return
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    yield toolkit_check(said.stdout)


def toolkit_check(said: str) -> Check:
    """From the words of ``nvidia-ctk --version``; versions with a known escape are refused."""
    name = "nvidia-container-toolkit"
    match = re.search(r"version\D*(\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        return Check(name, "warning", said.strip() or "?", _("Its version is unknown"))
    version = tuple(int(part) for part in match.groups())
    text = ".".join(match.groups())
    holes = [("CVE-2024-0132", (1, 16, 1)), ("CVE-2025-23266", (1, 17, 7))]
    known = [cve for cve, last in holes if version <= last]
    if known:
        found = _("{version} lets a container escape: {cves}", version=text, cves=", ".join(known))
        return Check(name, "missing", found, _("Update {name} to 1.17.8 or newer", name=name))
    return Check(name, "ok", text)


def _resources(settings: Settings) -> Iterator[Check]:
    place = Path("/var/lib/docker") if Path("/var/lib/docker").is_dir() else settings.courses_dir
    free = shutil.disk_usage(place).free
    enough = free >= NEEDED_DISK
    yield Check(
        _("Disk"),
        "ok" if enough else "warning",
        _("{free:.0f} GiB free at {place}", free=free / _GIB, place=place),
        "" if enough else _("Have at least {needed} GiB free", needed=NEEDED_DISK // _GIB),
    )
    memory = psutil.virtual_memory()
    lab = settings.labs.memory_mb << 20
    yield Check(
        _("Memory"),
        "ok" if memory.total >= 2 * lab else "warning",
        _(
            "{total:.0f} GiB; one lab may use {lab:.1f} GiB",
            total=memory.total / _GIB,
            lab=lab / _GIB,
        ),
    )


def _homes(settings: Settings) -> Iterator[Check]:
    from labs import homes

    why = homes.problem(settings)
    if why:
        found = _("no size limit ({why}): a learner can fill the disk", why=why)
        yield Check(_("Home folders"), "warning", found, _("Start as root with labs.home_gb set"))
    else:
        yield Check(_("Home folders"), "ok", _("{size} GiB each", size=settings.labs.home_gb))


def _services(settings: Settings) -> Iterator[Check]:
    supervised = Supervised(run_dir(settings))
    kind = "systemd" if systemd_runs() else "supervisord"
    if not supervised.running():
        yield Check(_("Platform"), "warning", _("not running ({kind})", kind=kind), "./dli up")
        yield from _ports(settings)
        return
    from cli import health

    probes = {probe.name: probe for probe in health.probes(settings)}
    for state in supervised.states():
        well = state.state == "RUNNING"
        if well and state.name in probes:
            well = health.answers(probes[state.name])
        log = settings.state_dir / "logs" / f"{state.name}.log"
        yield Check(
            state.name,
            "ok" if well else "missing",
            state.state.lower() if well else _("{state}; does not answer", state=state.state),
            "" if well else _("Read {log}", log=log),
        )


def _ports(settings: Settings) -> Iterator[Check]:
    from cli import ports

    for address in ports.needed(settings, "127.0.0.1")[:5]:
        if not ports.is_free(address):
            found = _("{port} is taken by {who}", port=address.port, who=ports.holder(address.port))
            remedy = _("Stop it or change {setting}", setting=address.setting)
            yield Check(_("Port"), "missing", found, remedy)


def _browser(_settings: Settings) -> Iterator[Check]:
    path = browser.find()
    yield Check(
        "Chromium",
        "ok" if path else "warning",
        path or _("not installed; only the tests need it"),
        "" if path else _("./dli test installs it"),
    )
