"""Are the ports free that we need, and who holds those that are not?"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.errors import CliError
from cli.text import _
from core.settings import Settings


@dataclass(frozen=True)
class Address:
    """One place to listen, and the setting that decides it."""

    setting: str
    host: str
    port: int


def needed(settings: Settings, gateway: str) -> list[Address]:
    """Every address that the platform listens on."""
    ports, site = settings.ports, settings.site.host
    found = [
        Address("ports.public", site, ports.public),
        Address("ports.proxy_api", "127.0.0.1", ports.proxy_api),
        Address("ports.hub", gateway, ports.hub),
        Address("ports.usage", "127.0.0.1", ports.usage),
        Address("ports.grader", "127.0.0.1", ports.grader),
    ]
    if site != "0.0.0.0":  # noqa: S104 - compared, not bound
        found.append(Address("ports.public", gateway, ports.public))
    return found


def check(settings: Settings, gateway: str) -> None:
    """Raises CliError naming each port that is taken, its setting and, if known, who holds it."""
    taken = [address for address in needed(settings, gateway) if not is_free(address)]
    if not taken:
        return
    lines = [
        _(
            "Port {port} on {host} ({setting}) is taken by {who}",
            port=a.port,
            host=a.host,
            setting=a.setting,
            who=holder(a.port),
        )
        for a in taken
    ]
    names = ", ".join(sorted({f"DLI_{a.setting.replace('.', '__').upper()}" for a in taken}))
    raise CliError(
        "\n".join(lines),
        _("Stop that process, or choose another port in dli.toml or by {names}", names=names),
    )


def is_free(address: Address) -> bool:
    """True when this account can listen there. Raises CliError for an address not of this host."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except PermissionError:
            raise CliError(
                _(
                    "Only root may listen on port {port} ({setting})",
                    port=address.port,
                    setting=address.setting,
                ),
                _("Choose a port from 1024 on"),
            ) from None
        except OSError as error:
            if error.errno == 99:  # EADDRNOTAVAIL
                raise CliError(
                    _("{host} is not an address of this machine (site.host)", host=address.host),
                    _("Use 127.0.0.1, 0.0.0.0 or one of: ip address"),
                ) from None
            return False
    return True


def holder(port: int) -> str:
    """Who listens on `port`, as "name (process 123)"; in words when this account may not see."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            if connection.laddr.port == port and connection.pid:
                # The program's file: a process may call itself anything (Node: "MainThread").
                name = Path(psutil.Process(connection.pid).exe()).name
                return _("{name} (process {pid})", name=name, pid=connection.pid)
    except (psutil.Error, OSError):
        pass
    return _("another process")
