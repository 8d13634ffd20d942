"""A whole platform on free ports in a folder of its own, for tests that need the real thing.

It is brought up by the same functions as `./dli up` and removed by those of `./dli down --purge`,
so it can run beside other platforms, also another test run's::

    with running_platform(usage={"heartbeat_seconds": 1}) as platform:
        trainee = platform.sign_in("trainee")
        page = trainee.get("/services/usage/")
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import docker
import httpx
from rich.console import Console

from cli import demo, down, engine, proxy, restore, supervisor
from cli.image_parts import cache_dir
from cli.steps import Steps
from cli.supervised import ProcessState, Supervised
from cli.up import bring_up
from core import secrets as secrets_of
from core.settings import Settings
from tests.people import Person
from tests.ports import free_ports
from usage.client import UsageClient

SIMULATED = "2x NVIDIA H100 80GB, MIG 7"

T = TypeVar("T")


def wait_for(what: str, ask: Callable[[], T], seconds: float = 120, every: float = 0.1) -> T:
    """Ask until the answer is true; returns it. Raises AssertionError after `seconds`.

    The limit only ends a wait that is in vain: give no shorter one for what is usually quick.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what} (last: {answer!r})"
        time.sleep(every)


@dataclass
class RunningPlatform:
    """A platform that is up. `passwords`: sign-in name -> password of the demo's people."""

    settings: Settings
    passwords: dict[str, str]
    event_code: str
    docker: docker.DockerClient
    usage: UsageClient
    cohort: str = demo.COHORT
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """The public address, without a trailing slash."""
        return self.settings.public_url

    def person(self) -> Person:
        """A browser-like client that nobody has signed in with."""
        return self._stack.enter_context(Person(self.url))

    def sign_in(self, name: str, password: str | None = None) -> Person:
        """A client signed in as `name` (trainee, instructor, admin or one made by the test)."""
        person = self.person()
        person.sign_in(name, password or self.passwords[name])
        return person

    def processes(self) -> dict[str, ProcessState]:
        """The platform's processes by name (proxy, hub, usage, grader, agent, worker-1)."""
        states = Supervised(supervisor.run_dir(self.settings)).states()
        return {state.name: state for state in states}

    def kill(self, name: str, signal: int = 9) -> int:
        """Send a signal to one process, which the supervisor then starts again; its pid."""
        pid = self.processes()[name].pid
        os.kill(pid, signal)
        return pid

    def stop_process(self, name: str) -> None:
        """Stop one process until `start_process`."""
        Supervised(supervisor.run_dir(self.settings)).stop_process(name)

    def start_process(self, name: str) -> None:
        """Start a stopped process; returns when everything answers again."""
        from cli import health

        Supervised(supervisor.run_dir(self.settings)).start_process(name)
        health.wait(self.settings, lambda _line: None)

    def server(self, name: str) -> dict[str, Any]:
        """The Hub's word about this person's lab; empty once it is stopped and cleared away."""
        token = secrets_of.load(self.settings.state_dir, "usage-hub-token")
        answer = httpx.get(
            f"{proxy.hub_url(self.settings)}/hub/api/users/{name}",
            headers={"Authorization": f"token {token}"},
            trust_env=False,
        )
        found: dict[str, Any] = answer.raise_for_status().json()["servers"]
        return dict(found.get("", {}))

    def containers(self, **labels: str) -> list[Any]:
        """This instance's containers with these labels (kind="lab" is dli.kind=lab)."""
        wanted = [f"dli.instance={self.settings.instance}"]
        wanted += [f"dli.{name.replace('_', '-')}={value}" for name, value in labels.items()]
        found: list[Any] = self.docker.containers.list(
            all=True, filters={"label": wanted}, ignore_removed=True
        )
        return found

    def logs(self, lines: int = 60) -> str:
        """The end of every log, to print when something failed."""
        files = sorted((self.settings.state_dir / "logs").glob("*.log"))
        return "\n".join(f"--- {f.name}\n{Supervised.log_tail(f, lines)}" for f in files)


@contextmanager
def running_platform(backup: Path | None = None, **overrides: Any) -> Iterator[RunningPlatform]:
    """Start a platform with the demo in it; remove every trace at the end.

    `backup`: start from this archive of `./dli backup` instead of from nothing.
    `overrides` are settings (``site={...}``, ``usage={...}``, ``instance="…"``). Its logs are
    printed when the block raises.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="dli-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        state_dir = folder / "s"
        state_dir.mkdir()
        (state_dir / "run").mkdir()
        stack.enter_context(_settings_only_from(folder / "none.toml"))
        settings = _settings(state_dir, overrides)
        (state_dir / "node").symlink_to(shared_node(settings))
        stack.callback(_remove, settings)
        if backup is not None:
            restore.restore(settings, backup, lambda _line: None)
        output = io.StringIO()
        try:
            up = bring_up(settings, Steps(Console(file=output, width=200)), development=True)
        except BaseException:
            print(output.getvalue(), _logs(settings), sep="\n")
            raise
        assert up.demo is not None
        platform = RunningPlatform(
            settings,
            up.demo.passwords,
            up.demo.event_code,
            engine.connect(),
            demo.usage_client(settings),
            _stack=stack,
        )
        stack.callback(platform.docker.close)
        stack.callback(platform.usage.close)
        try:
            yield platform
        except BaseException:
            print(platform.logs())
            raise


def _settings(state_dir: Path, overrides: dict[str, Any]) -> Settings:
    names = ("public", "proxy_api", "hub", "usage", "grader")
    values: dict[str, Any] = {
        "instance": f"t-{secrets.token_hex(4)}",
        "state_dir": state_dir,
        "ports": dict(zip(names, free_ports(len(names)), strict=True)),
        "gpus": {"simulated": SIMULATED},
        "site": {"language": "en"},
        "usage": {"heartbeat_seconds": 1},
    }
    for name, value in overrides.items():
        values[name] = values.get(name, {}) | value if isinstance(value, dict) else value
    return Settings(**values)


@contextmanager
def _settings_only_from(file: Path) -> Iterator[None]:
    """Neither the checkout's dli.toml nor the caller's DLI_ variables reach the platform."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("DLI_")}
    os.environ["DLI_SETTINGS"] = str(file)
    try:
        yield
    finally:
        del os.environ["DLI_SETTINGS"]
        os.environ.update(kept)


def shared_node(settings: Settings) -> Path:
    """The npm packages, installed once for all test platforms of this account."""
    from web import assets

    shared = cache_dir(settings) / "tests"
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return assets.install(shared, development=True)


def _remove(settings: Settings) -> None:
    steps = Steps(Console(file=io.StringIO()))
    down.bring_down(settings, steps)
    down.purge(settings, steps, images=False)
    engine.release(settings.instance, lambda _line: None)


def _logs(settings: Settings) -> str:
    files = sorted((settings.state_dir / "logs").glob("*.log"))
    return "\n".join(f"--- {file.name}\n{Supervised.log_tail(file, 60)}" for file in files)
