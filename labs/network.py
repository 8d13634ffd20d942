"""The labs' private Docker network.

`internal`: a lab has no route out of its network. Inter-container traffic is off: no lab reaches
another, while this machine reaches every lab. The gateway is this machine's own address on the
network; the Hub listens there so that labs can reach it, and labs.firewall closes its other ports.
"""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from core.log import event
from core.settings import Settings
from labs import firewall

_log = logging.getLogger("labs.network")
_OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}


class NetworkError(RuntimeError):
    """The labs' network cannot be used: what is wrong and what to do, in one sentence."""


def ensure_network(client: docker.DockerClient, settings: Settings) -> str:
    """Create the labs' network if it is missing; give its gateway address.

    The address is also written to ``<state_dir>/run/network.json`` for `gateway`. Raises
    NetworkError for a network of that name which is not ours or not closed. Without the right to
    set firewall rules the network is made all the same; `./dli doctor` says what is open then.
    """
    found = _find(client, settings.network)
    if found is None:
        _create(client, settings)
        found = _find(client, settings.network)
    if found is None:
        raise NetworkError(f"Docker made the network {settings.network!r} but does not list it")
    _check(found, settings)
    address = _gateway_of(found)
    _remember(settings, address)
    guard(client, settings)
    return address


def guard(client: docker.DockerClient, settings: Settings) -> None:
    """Put the firewall's rules in force where they are not; a failure is logged, not raised."""
    found = _find(client, settings.network)
    if found is None:
        return
    try:
        if firewall.ensure(found, _gateway_of(found), settings):
            event(_log, "firewall set", network=settings.network)
    except firewall.FirewallError as error:
        event(_log, "firewall not set", network=settings.network, error=str(error))


def guarded(client: docker.DockerClient, settings: Settings) -> bool | None:
    """Are labs kept from this machine's other services? None: there is no network yet.

    Raises FirewallError when that cannot be read.
    """
    found = _find(client, settings.network)
    return None if found is None else firewall.holds(found, _gateway_of(found), settings)


def remove_network(client: docker.DockerClient, settings: Settings) -> None:
    """Remove the labs' network, its rules and the note of its address; missing is no error."""
    with contextlib.suppress(NotFound):
        client.api.remove_network(settings.network)
    with contextlib.suppress(firewall.FirewallError):
        firewall.remove(settings)
    _note(settings).unlink(missing_ok=True)


def gateway(settings: Settings) -> str:
    """This machine's address on the labs' network, as labs see it.

    Asks Docker; while Docker does not answer, the address that `ensure_network` wrote down, so
    that the Hub can restart without Docker. Raises NetworkError when neither knows one.
    """
    try:
        client = docker.from_env(timeout=10)
        try:
            found = _find(client, settings.network)
        finally:
            client.close()
    except DockerException:
        return _remembered(settings)
    if found is None:
        raise NetworkError(
            f"the Docker network {settings.network!r} does not exist; run ./dli up to create it"
        )
    return _gateway_of(found)


def _find(client: docker.DockerClient, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.api.inspect_network(name)
    except NotFound:
        return None
    return found if found["Name"] == name else None


def _create(client: docker.DockerClient, settings: Settings) -> None:
    try:
        client.api.create_network(
            settings.network,
            driver="bridge",
            internal=True,
            check_duplicate=True,
            options=_OPTIONS,
            labels={"dli.instance": settings.instance},
        )
    except APIError as error:
        if error.status_code != 409:  # 409: somebody else made it just now
            raise NetworkError(
                f"Docker cannot make the network {settings.network!r}: {error.explanation}"
            ) from error


def _check(found: dict[str, Any], settings: Settings) -> None:
    name = found["Name"]
    remedy = "remove it or name another one in labs.network"
    if (found.get("Labels") or {}).get("dli.instance") != settings.instance:
        raise NetworkError(f"the Docker network {name!r} exists and is not ours; {remedy}")
    options = found.get("Options") or {}
    if not found["Internal"] or any(options.get(k) != v for k, v in _OPTIONS.items()):
        raise NetworkError(f"the Docker network {name!r} is not closed as labs need it; {remedy}")


def _gateway_of(found: dict[str, Any]) -> str:
    for part in found["IPAM"]["Config"] or []:
        if part.get("Gateway"):
            return str(part["Gateway"]).split("/")[0]
    raise NetworkError(f"the Docker network {found['Name']!r} has no gateway address")


def _note(settings: Settings) -> Path:
    return settings.state_dir / "run" / "network.json"


def _remember(settings: Settings, address: str) -> None:
    note = _note(settings)
    note.parent.mkdir(parents=True, exist_ok=True)
    draft = note.with_suffix(".new")
    draft.write_text(json.dumps({"network": settings.network, "gateway": address}))
    draft.replace(note)


def _remembered(settings: Settings) -> str:
    try:
        known = json.loads(_note(settings).read_text())
        if known["network"] == settings.network:
            return str(known["gateway"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise NetworkError(
        "Docker does not answer and the labs' network was never made; start Docker, then ./dli up"
    )
