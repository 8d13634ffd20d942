"""What a lab may reach on this machine: the proxy and the Hub on the gateway, nothing else.

An `internal` Docker network has no way out, but every service of this machine that listens on all
addresses is still reachable through the network's gateway, since such packets are not forwarded.
A chain of our own, entered from INPUT for the network's bridge only, lets in what labs need and
refuses the rest. Replies to this machine's own connections (the proxy to a lab) pass.

Docker does not know the chain: `ensure` sets it again wherever it is missing (the agent asks once
a minute), `remove` takes it away with the network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from typing import Any

from core.programs import which
from core.settings import Settings

_SECONDS = 20
_WAIT = ["-w", "5"]
"""Seconds to wait for another program that holds the tables."""


class FirewallError(RuntimeError):
    """The rules cannot be set or read: why, and what to do, in one sentence."""


def bridge_of(network: dict[str, Any]) -> str:
    """Interface of a Docker network, from what Docker's inspect says about it."""
    named = (network.get("Options") or {}).get("com.docker.network.bridge.name")
    return str(named or f"br-{network['Id'][:12]}")


def chain_of(settings: Settings) -> str:
    """Name of this instance's chain; at most 28 characters, as iptables wants."""
    return f"DLI-{hashlib.sha256(settings.network.encode()).hexdigest()[:16]}"


def rules(gateway: str, settings: Settings) -> list[str]:
    """The chain's rules in order, as ``iptables -S`` writes them without the chain's name."""
    allowed = sorted({settings.ports.public, settings.ports.hub})
    return [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        *(f"-d {gateway}/32 -p tcp -m tcp --dport {port} -j ACCEPT" for port in allowed),
        # An answer, not silence: a learner's program fails at once instead of after minutes.
        "-j REJECT --reject-with icmp-port-unreachable",
    ]


def holds(network: dict[str, Any], gateway: str, settings: Settings) -> bool:
    """True when the rules are in force, first in line. Raises FirewallError."""
    chain = chain_of(settings)
    wanted = {f"-A {chain} {rule}" for rule in rules(gateway, settings)}
    listed = _lines("-S", chain, missing_is_empty=True)
    entered = [line for line in _lines("-S", "INPUT") if line.startswith("-A ")]
    ours = f"-A INPUT -i {bridge_of(network)} -j {chain}"
    before = entered[: entered.index(ours)] if ours in entered else ["missing"]
    first = all(" -j DLI-" in line for line in before)  # other instances' chains do not matter
    same = {line for line in listed if line.startswith("-A ")} == wanted
    return first and same and len(listed) == len(wanted) + 1


def ensure(network: dict[str, Any], gateway: str, settings: Settings) -> bool:
    """Put the rules in force in one step; True when they were not. Raises FirewallError."""
    if holds(network, gateway, settings):
        return False
    chain = chain_of(settings)
    script = [
        "*filter",
        f":{chain} - [0:0]",  # makes it, or empties it
        *(f"-A {chain} {rule}" for rule in rules(gateway, settings)),
        *_forget_entries(chain),
        f"-I INPUT 1 -i {bridge_of(network)} -j {chain}",
        "COMMIT",
    ]
    _restore(script)
    return True


def remove(settings: Settings) -> None:
    """Take this instance's rules away; none is no error. Raises FirewallError."""
    chain = chain_of(settings)
    if _lines("-S", chain, missing_is_empty=True):
        _restore(["*filter", *_forget_entries(chain), f"-F {chain}", f"-X {chain}", "COMMIT"])


def _forget_entries(chain: str) -> list[str]:
    """Also those of a bridge that is gone: a network made again has another one."""
    return [
        "-D" + line.removeprefix("-A")
        for line in _lines("-S", "INPUT")
        if line.startswith("-A ") and line.endswith(f" -j {chain}")
    ]


def _lines(*words: str, missing_is_empty: bool = False) -> list[str]:
    done = _run("iptables", [*_WAIT, *words])
    if done.returncode == 0:
        return done.stdout.splitlines()
    if missing_is_empty and done.returncode == 1:
        return []
    raise FirewallError(_reason(done))


def _restore(script: list[str]) -> None:
    done = _run("iptables-restore", [*_WAIT, "--noflush"], "\n".join(script) + "\n")
    if done.returncode != 0:
        raise FirewallError(_reason(done))


def _run(program: str, words: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    path = which(program)
    if path is None:
        raise FirewallError("iptables is missing; install it: sudo apt-get install iptables")
    sudo = shutil.which("sudo")
    prefix = [sudo, "-n"] if os.geteuid() != 0 and sudo else []
    try:
        return subprocess.run(
            [*prefix, path, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirewallError(f"iptables did not run: {error}") from error


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr.strip() or "no reason given").splitlines()[0]
    return f"iptables refused ({said}); run ./dli up as root, or as an account that may use sudo"
