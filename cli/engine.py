"""The Docker engine: found, installed or started as far as this account may, and given back.

An engine that was there before us is only used. One that we started is stopped by the last of our
instances that leaves, and only when no container of anybody's runs on it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors
import requests

from cli.errors import CliError
from cli.steps import Report
from cli.supervised import Supervised
from cli.system import apt_install, as_root, systemd_runs
from cli.text import _
from core.programs import which

HOME = Path("/run/dli-engine")
"""State of an engine that we started; gone after a reboot, as the engine is."""

PACKAGES = ("docker.io", "iptables")
_START_S = 60
_CALL_S = 900  # one Docker call; building and committing large images takes minutes


class EngineDown(CliError):
    """No engine answers, or it does not let this account in."""


def connect() -> docker.DockerClient:
    """A client of the engine that answers. Raises EngineDown with the reason and a remedy."""
    try:
        client = docker.from_env(timeout=_CALL_S)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        if "Permission denied" in str(error) or "PermissionError" in str(error):
            raise EngineDown(
                _("This account may not use the Docker engine"),
                _("Run: sudo usermod -aG docker $USER, sign in again, then ./dli up"),
            ) from None
        raise EngineDown(
            _("No Docker engine answers: {error}", error=error),
            _("Install and start one: sudo apt-get install docker.io iptables"),
        ) from None
    return client


def ensure(instance: str, report: Report) -> docker.DockerClient:
    """An engine that answers, installed and started when needed. Raises CliError."""
    try:
        client = connect()
    except EngineDown as problem:
        if "usermod" in problem.remedy:
            raise
        client = _bring_up(report)
    _mark_user(instance)
    return client


def release(instance: str, report: Report) -> bool:
    """Leave the engine; stop it when we started it and nobody uses it. True when stopped."""
    if not HOME.is_dir():
        return False
    with _locked():
        (HOME / "users" / instance).unlink(missing_ok=True)
        if any((HOME / "users").iterdir()):
            return False
        try:
            if connect().containers.list():
                report(_("The Docker engine stays: containers run on it"))
                return False
        except EngineDown:
            pass
        return _stop()


def _stop() -> bool:
    if (HOME / "systemd").exists():
        root = as_root() or []
        subprocess.run([*root, "systemctl", "stop", "docker.socket", "docker"], check=False)
        shutil.rmtree(HOME)
        return True
    engine = Supervised(HOME)
    if not engine.running():
        return False
    engine.stop()
    shutil.rmtree(HOME)
    return True


def started_by_us() -> bool:
    """True when the engine that runs is one that we started."""
    return HOME.is_dir() and ((HOME / "systemd").exists() or Supervised(HOME).running())


def _bring_up(report: Report) -> docker.DockerClient:
    if which("dockerd") is None or which("iptables") is None:
        report(_("installing Docker and iptables"))
        apt_install(PACKAGES, report, purpose=_("Lab containers"))
    root = as_root()
    if root is None:
        raise EngineDown(
            _("The Docker engine is installed but not running"),
            _("Start it as root: systemctl start docker"),
        )
    if root:
        # Our own supervisord for the engine runs as root, so its files must be root's too.
        return _start_by_service(root, report)
    HOME.mkdir(parents=True, exist_ok=True)
    with _locked():
        try:  # another instance may have started it while we waited for the lock
            return connect()
        except EngineDown:
            pass
        if systemd_runs():
            (HOME / "systemd").touch()
            return _start_by_service(root, report)
        return _start_supervised(report)


def _start_by_service(root: list[str], report: Report) -> docker.DockerClient:
    report(_("starting the Docker engine"))
    command = ["systemctl", "start", "docker"] if systemd_runs() else ["service", "docker", "start"]
    done = subprocess.run([*root, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineDown(
            _("The Docker engine did not start: {error}", error=done.stderr.strip()),
            _("See: journalctl -u docker"),
        )
    return _wait(lambda: _("See: journalctl -u docker"))


def _start_supervised(report: Report) -> docker.DockerClient:
    report(_("starting the Docker engine"))
    engine = Supervised(HOME)
    if not engine.running():
        engine.conf.write_text(engine.common() + dockerd_section(which("dockerd") or "dockerd"))
        engine.start()
    return _wait(lambda: engine.log_tail(HOME / "dockerd.log"))


def dockerd_section(program: str) -> str:
    """The engine as a supervisord program: containers outlive a restart of it (live-restore)."""
    return (
        f"\n[program:dockerd]\ncommand={program} --live-restore\n"
        'environment=PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n'
        f"stdout_logfile={HOME}/dockerd.log\nredirect_stderr=true\n"
        "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=1\n"
        "autorestart=true\nstartretries=5\nstopwaitsecs=60\n"
    )


def _wait(explain: Callable[[], str]) -> docker.DockerClient:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            return connect()
        except EngineDown as problem:
            if time.monotonic() > deadline:
                raise EngineDown(f"{problem}\n{explain()}", problem.remedy) from None
        time.sleep(0.2)


def _mark_user(instance: str) -> None:
    """Note that `instance` uses the engine that we started."""
    if HOME.is_dir():
        (HOME / "users").mkdir(exist_ok=True)
        (HOME / "users" / instance).touch()


@contextmanager
def _locked() -> Iterator[None]:
    """One command at a time decides about the engine."""
    while True:
        (HOME / "users").mkdir(parents=True, exist_ok=True)
        with (HOME / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Whoever held it before us may have removed the folder with the lock in it.
            if _same_file(lock.fileno(), HOME / "lock"):
                yield
                return


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
