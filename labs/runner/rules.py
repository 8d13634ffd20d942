"""May this container be made? Pure rules on the body of Docker's create calls, refusing by default.

A body is taken apart by the names that labs use. What is not named here must be empty, and only
what was checked is passed on: Docker reads names in any case, so a second ``hostconfig`` beside a
good ``HostConfig`` must never reach it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.i18n import LANGUAGES
from core.ids import is_id, slug
from core.settings import Settings
from core.wire import Lease
from labs import containers

_MOST_WORDS = 500
_MOST_TEXT = 32_768
_LOG = {"Type": "json-file"}
_TMPFS = re.compile(r"rw,exec,nosuid,nodev,mode=1777,size=(\d{1,15})")
_LABELS = {
    f"dli.{name}"
    for name in ("instance", "kind", "user", "course", "lab", "limit-ms", "lease", "grant-ms")
}
_VARIABLE = re.compile(
    r"(JUPYTERHUB_|JPY_API_TOKEN|JUPYTER_IMAGE_SPEC|DLI_|NVIDIA_|(MEM|CPU)_(LIMIT|GUARANTEE)|HOME=)"
    r".*",
    re.DOTALL,
)
"""What our spawner and JupyterHub set. Never ``PATH`` or ``LD_…``: they would decide what runs as
the first process in place of the deadline."""


class Forbidden(Exception):
    """The call is not one that labs need. The text says which part, and what may stand there."""


@dataclass(frozen=True)
class Policy:
    """What this instance's labs may have. Sizes in bytes, times in seconds."""

    instance: str
    network: str
    images: frozenset[str]
    materials: Path
    memory: int
    nano_cpus: int
    pids: int
    longest: int

    @staticmethod
    def of(settings: Settings) -> Policy:
        """The limits that the settings give."""
        return Policy(
            instance=settings.instance,
            network=settings.network,
            images=frozenset(settings.labs.images.values()),
            materials=settings.state_dir / "materials",
            memory=settings.labs.memory_mb << 20,
            nano_cpus=int(settings.labs.cpus * 1_000_000_000),
            pids=settings.labs.pids,
            longest=settings.usage.lab_max_minutes * 60,
        )

    def is_ours(self, labels: object) -> bool:
        """Are these the labels of a lab of this instance?"""
        if not isinstance(labels, dict):
            return False
        return labels.get("dli.instance") == self.instance and labels.get("dli.kind") == "lab"


def lease_named(body: object) -> str:
    """Id of the lease that a create's labels name; empty for a lab without GPU."""
    labels = body.get("Labels") if isinstance(body, dict) else None
    named = labels.get("dli.lease", "") if isinstance(labels, dict) else ""
    _need(isinstance(named, str) and (not named or is_id(named)), "Labels", "a lease's id")
    return str(named)


def container(body: object, name: str, policy: Policy, lease: Lease | None) -> dict[str, Any]:
    """The checked body of a create, to be sent in its place. Raises Forbidden.

    `lease` is the open lease that the labels name, as the usage service knows it.
    """
    given = _object(body, "body")
    labels = _labels(given.pop("Labels", None), policy, lease)
    person = labels["dli.user"]
    _need(name == f"{policy.instance}-lab-{slug(person)}", "name", "the lab's of its person")
    if lease is not None:
        _need(lease.state != "ended" and lease.username == person, "Labels", "that person's lease")
        _need(labels.get("dli.lease") == lease.id, "Labels", "the lease that was asked for")
    longest = max(policy.longest, lease.limit_ms // 1000 + 1 if lease else 0)
    host = _object(given.pop("HostConfig", None), "HostConfig")
    checked = {
        "Labels": labels,
        "Image": _one_of(given.pop("Image", None), policy.images, "Image"),
        "User": _one_of(given.pop("User", None), {containers.USER}, "User"),
        "WorkingDir": _one_of(given.pop("WorkingDir", None), {containers.HOME}, "WorkingDir"),
        "Entrypoint": _deadline(given.pop("Entrypoint", None), longest),
        "Cmd": _words(given.pop("Cmd", None), "Cmd"),
        "Env": _environment(given.pop("Env", None), gpu=_devices(lease) is not None),
        "HostConfig": _host(host, person, policy, lease),
    }
    for harmless in ("AttachStdout", "AttachStderr"):  # docker-py's habit; nothing is attached
        given.pop(harmless, None)
    _nothing_else(given, "body")
    return checked


def volume(body: object, policy: Policy) -> dict[str, Any]:
    """The checked body of a home volume's create. Raises Forbidden.

    Never with options: ``o=bind,device=/`` would make the machine's root a home.
    """
    given = _object(body, "body")
    labels = _object(given.pop("Labels", None), "Labels")
    person = labels.get("dli.user")
    _need(isinstance(person, str) and person != "", "Labels", "a person (dli.user)")
    wanted = {"dli.instance": policy.instance, "dli.kind": "home", "dli.user": person}
    _need(labels == wanted, "Labels", f"{wanted}")
    name = f"{policy.instance}-home-{slug(str(person))}"
    checked = {"Name": _one_of(given.pop("Name", None), {name}, "Name"), "Labels": wanted}
    _one_of(given.pop("Driver", None) or "local", {"local"}, "Driver")
    _nothing_else(given, "body")
    return checked | {"Driver": "local"}


# -- the parts of a container


def _labels(found: object, policy: Policy, lease: Lease | None) -> dict[str, str]:
    labels = _object(found, "Labels")
    for key, value in labels.items():
        _need(key in _LABELS, f"Labels: {key[:100]!r}", "a lab's labels")
        _need(isinstance(value, str) and len(value) <= 1000, f"Labels: {key}", "a text")
    # The agent reads it, and holds the lab to it while the usage service is silent.
    granted = lease.grant_ms if lease else 0
    held_to = _number(labels.get("dli.grant-ms", "0"))
    _need(0 <= held_to <= granted, "Labels: dli.grant-ms", f"up to {granted}, as granted")
    _need(policy.is_ours(labels), "Labels", "a lab of this instance")
    _need(bool(labels.get("dli.user")), "Labels", "a person (dli.user)")
    return labels


def _deadline(found: object, longest: int) -> list[str]:
    words = _words(found, "Entrypoint")
    fine = len(words) == 4 and words[:3] == ["timeout", "-k", str(containers.KILL_AFTER_S)]
    _need(fine, "Entrypoint", "the deadline (timeout -k …)")
    _need(0 < _number(words[3]) <= longest, "Entrypoint", f"a deadline of at most {longest} s")
    return words


def _environment(found: object, gpu: bool) -> list[str]:
    """An NVIDIA runtime obeys variables: each lab's may only say what its lease does."""
    words = _words(found, "Env")
    strange = [word.partition("=")[0] for word in words if not _VARIABLE.fullmatch(word)]
    _need(not strange, f"Env: {', '.join(strange)[:200]}", "variables of JupyterHub and ours")
    nvidia = {word for word in words if word.upper().startswith("NVIDIA")}
    if gpu:
        _need(nvidia <= {"NVIDIA_DRIVER_CAPABILITIES=compute,utility"}, "Env", "no NVIDIA_…")
    else:
        _need(nvidia == {"NVIDIA_VISIBLE_DEVICES=void"}, "Env", "NVIDIA_VISIBLE_DEVICES=void")
    return words


def _host(given: dict[str, Any], person: str, policy: Policy, lease: Lease | None) -> Any:
    mounts = given.pop("Mounts", None)
    tmpfs = given.pop("Tmpfs", None)
    requests = given.pop("DeviceRequests", None)
    checked: dict[str, Any] = {
        "Mounts": _mounts(mounts, person, policy),
        "Tmpfs": _tmpfs(tmpfs, policy),
        "DeviceRequests": _device_requests(requests, lease),
        "LogConfig": _log_config(given.pop("LogConfig", None)),
    }
    for key, (fine, may) in _host_rules(policy).items():
        value = given.pop(key, None)
        _need(fine(value), f"HostConfig.{key}", may)
        checked[key] = value
    _need(checked["MemorySwap"] == checked["Memory"], "HostConfig.MemorySwap", "no swap")
    _nothing_else(given, "HostConfig")
    return checked


def _host_rules(policy: Policy) -> dict[str, tuple[Callable[[object], bool], str]]:
    """For each part: the test, and what may stand there in words."""

    def is_one(wanted: object) -> tuple[Callable[[object], bool], str]:
        return lambda value: type(value) is type(wanted) and value == wanted, repr(wanted)

    def between(least: int, most: int) -> tuple[Callable[[object], bool], str]:
        return lambda value: type(value) is int and least <= value <= most, f"{least} to {most}"

    return {
        "CapDrop": is_one(["ALL"]),
        "SecurityOpt": is_one(["no-new-privileges:true"]),
        "ReadonlyRootfs": is_one(True),
        "NetworkMode": is_one(policy.network),
        "Dns": is_one([containers.NO_DNS]),
        "Memory": between(1 << 20, policy.memory),
        "MemorySwap": between(1 << 20, policy.memory),
        "ShmSize": between(1, policy.memory),
        "NanoCpus": between(1, policy.nano_cpus),
        "PidsLimit": between(1, policy.pids),
        "OomScoreAdj": between(1, 1000),
    }


def _mounts(found: object, person: str, policy: Policy) -> list[dict[str, Any]]:
    mounts = _list(found, "HostConfig.Mounts")
    home = {
        "Type": "volume",
        "Source": f"{policy.instance}-home-{slug(person)}",
        "Target": containers.HOME,
        "ReadOnly": False,
    }
    _need(len(mounts) == 2 and home in mounts, "HostConfig.Mounts", "the person's home and course")
    (course,) = [mount for mount in mounts if mount != home] or [{}]
    course = _object(course, "HostConfig.Mounts")
    source = course.get("Source")
    _need(_is_material(source, policy), "HostConfig.Mounts", f"a course below {policy.materials}")
    wanted = {"Type": "bind", "Source": source, "Target": "/srv/course", "ReadOnly": True}
    _need(course == wanted, "HostConfig.Mounts", f"{wanted}")
    return [home, wanted]


def _is_material(source: object, policy: Policy) -> bool:
    """Exactly ``<materials>/<course>/<language>``, spelled without ``..``."""
    if not isinstance(source, str):
        return False
    path = PurePosixPath(source)
    fine = str(path) == source and path.parent.parent == PurePosixPath(policy.materials)
    return fine and is_id(path.parent.name) and path.name in LANGUAGES


def _tmpfs(found: object, policy: Policy) -> dict[str, str]:
    places = _object(found, "HostConfig.Tmpfs")
    match = _TMPFS.fullmatch(str(places.get("/tmp")))  # noqa: S108 - inside the container
    _need(set(places) == {"/tmp"} and match is not None, "HostConfig.Tmpfs", "/tmp alone")  # noqa: S108
    assert match is not None
    _need(int(match[1]) <= policy.memory, "HostConfig.Tmpfs", f"a size up to {policy.memory}")
    return {key: str(value) for key, value in places.items()}


def _devices(lease: Lease | None) -> list[str] | None:
    """The devices that a lease gives; None without one, and for simulated GPUs."""
    if lease is None or any(slot.simulated for slot in lease.slots):
        return None
    return [slot.device for slot in lease.slots]


def _device_requests(found: object, lease: Lease | None) -> list[dict[str, Any]]:
    devices = _devices(lease)
    if devices is None:
        _need(not found, "HostConfig.DeviceRequests", "no GPU without a lease")
        return []
    wanted: dict[str, Any] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": devices,
        "Capabilities": [["gpu"]],
        "Options": {},
    }
    _need(found == [wanted], "HostConfig.DeviceRequests", f"{[wanted]}, as leased")
    return [wanted]


def _log_config(found: object) -> dict[str, Any]:
    given = _object(found, "HostConfig.LogConfig")
    options = _object(given.pop("Config", None), "HostConfig.LogConfig")
    _need(given == _LOG, "HostConfig.LogConfig", f"{_LOG}")
    size, files = str(options.pop("max-size", "")), str(options.pop("max-file", ""))
    fine = bool(re.fullmatch(r"[1-9]\d?m", size) and re.fullmatch(r"[1-5]", files)) and not options
    _need(fine, "HostConfig.LogConfig", "a log with a limit (max-size, max-file)")
    return _LOG | {"Config": {"max-size": size, "max-file": files}}


# -- small words


def _need(fine: bool, where: str, may: str) -> None:
    if not fine:
        raise Forbidden(f"{where}: only {may} may stand there")


def _object(found: object, where: str) -> dict[str, Any]:
    """A copy that the caller may take apart."""
    _need(isinstance(found, dict), where, "an object")
    assert isinstance(found, dict)
    return dict(found)


def _list(found: object, where: str) -> list[Any]:
    _need(isinstance(found, list), where, "a list")
    assert isinstance(found, list)
    return found


def _words(found: object, where: str) -> list[str]:
    words = _list(found, where)
    fine = all(isinstance(w, str) and len(w) <= _MOST_TEXT and "\0" not in w for w in words)
    _need(fine and len(words) <= _MOST_WORDS, where, f"up to {_MOST_WORDS} texts")
    return words


def _one_of(found: object, allowed: set[str] | frozenset[str], where: str) -> str:
    _need(isinstance(found, str) and found in allowed, where, ", ".join(sorted(allowed)))
    return str(found)


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1


def _nothing_else(left: dict[str, Any], where: str) -> None:
    """What nobody named must be empty. ``CapAdd: []`` is the same as none."""
    more = sorted(key for key, value in left.items() if value)
    _need(not more, f"{where}: {', '.join(more)[:200]}", "nothing")
