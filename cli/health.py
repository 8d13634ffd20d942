"""Does each part of the platform answer? Asked over HTTP, as its users would."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from cli import proxy
from cli.errors import CliError
from cli.steps import Report
from cli.supervised import Supervised
from cli.supervisor import programs, run_dir
from cli.text import _
from core import secrets
from core.settings import Settings

_STARTED_S = 180
_MOST_STARTS = 3  # a part may have to wait for another one; what ends more often is broken


@dataclass(frozen=True)
class Probe:
    """One question: is this process ready? Answers False or raises httpx.HTTPError when not."""

    name: str
    ready: Callable[[], bool]


def probes(settings: Settings) -> list[Probe]:
    """The processes that answer over HTTP. The rest are ready when they keep running."""
    ports = settings.ports
    token = secrets.load(settings.state_dir, "proxy-auth")
    hub = proxy.hub_url(settings)
    routes = f"http://127.0.0.1:{ports.proxy_api}/api/routes"
    return [
        Probe("proxy", lambda: _ok(routes, {"Authorization": f"token {token}"})),
        Probe("usage", lambda: _ok(f"http://127.0.0.1:{ports.usage}/services/usage/healthz")),
        Probe("grader", lambda: _ok(f"http://127.0.0.1:{ports.grader}/services/grader/healthz")),
        Probe("hub", lambda: _ok(f"{hub}/hub/api/")),
        Probe("site", lambda: _site(settings)),
    ]


def _site(settings: Settings) -> bool:
    """Hub and services by the public address: a Hub that has just started answers on its own
    before it gives the proxy the services' routes, and until then a sign-in ends on a 404.
    """
    host = {"Host": urlsplit(settings.public_url).netloc}
    paths = ("/hub/health", "/services/usage/healthz", "/services/grader/healthz")
    return all(_ok(f"http://{_reachable(settings)}{path}", host) for path in paths)


def _reachable(settings: Settings) -> str:
    """The public address from this machine."""
    host = settings.site.host
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
    return f"{host}:{settings.ports.public}"


def _ok(url: str, headers: dict[str, str] | None = None) -> bool:
    with httpx.Client(trust_env=False, timeout=3) as client:
        return client.get(url, headers=headers).status_code == 200


def answers(probe: Probe) -> bool:
    """True when the probe's process answers now."""
    try:
        return probe.ready()
    except httpx.HTTPError:
        return False


def wait(settings: Settings, report: Report, seconds: float = _STARTED_S) -> None:
    """Return when every process is up. Raises CliError with the last log lines of the one not."""
    supervised = Supervised(run_dir(settings))
    deadline = time.monotonic() + seconds
    waiting = probes(settings)
    starts: dict[str, set[int]] = {}
    while True:
        waiting = [probe for probe in waiting if not answers(probe)]
        found = supervised.states()
        states = {state.name: state.state for state in found}
        for state in found:
            starts.setdefault(state.name, set()).add(state.pid)
        slow = [p.name for p in programs(settings) if states.get(p.name) != "RUNNING"]
        if not waiting and not slow:
            return
        names = [probe.name for probe in waiting] + slow
        fatal = [n for n, pids in starts.items() if len(pids - {0}) > _MOST_STARTS]
        if fatal or time.monotonic() > deadline:
            raise CliError(_failure(settings, fatal or names))
        report(_("waiting for {names}", names=", ".join(dict.fromkeys(names))))
        time.sleep(0.15)


def _failure(settings: Settings, names: list[str]) -> str:
    parts = []
    for name in dict.fromkeys("hub" if name == "site" else name for name in names):
        log = settings.state_dir / "logs" / f"{name}.log"
        parts.append(_("{name} did not start. The end of {log}:", name=name, log=log))
        parts.append(Supervised.log_tail(log) or _("(empty)"))
    return "\n".join(parts)
