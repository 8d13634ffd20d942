"""The platform's processes as children of one supervisord, and its unit where systemd runs.

`python -m cli.supervisor <state_dir>/run` runs that supervisord in the foreground (the unit's
ExecStart); everything it needs to know lies in that folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError
from cli.supervised import Supervised
from cli.system import as_root, systemd_runs
from cli.text import _
from core.settings import ROOT, Settings, environment

UNIT_TEMPLATE = ROOT / "deploy" / "dli-labs.service"

ROOMS = ("core", "store", "hub", "labs", "usage", "grader", "web")
_CODE = (".py", ".html", ".po", ".js", ".css", ".json")


@dataclass(frozen=True)
class Program:
    """One process of the platform. Lower `order` starts earlier and stops later."""

    name: str
    arguments: list[str]
    order: int
    stop_seconds: int = 10


def programs(settings: Settings, gpu_host: bool = True) -> list[Program]:
    """What runs on one machine, started by this Python interpreter."""
    workers = [
        Program(f"worker-{n}", ["-m", "grader.worker"], 60, stop_seconds=30)
        for n in range(1, settings.grader.workers + 1)
    ]
    hub_config = str(ROOT / "jupyterhub_config.py")
    agent = [Program("agent", ["-m", "labs.agent"], 50)] if gpu_host else []
    return [
        Program("proxy", ["-m", "cli.proxy"], 10),
        Program("usage", ["-m", "usage"], 20),
        Program("grader", ["-m", "grader"], 30),
        Program("runner", ["-m", "labs.runner"], 35),
        Program("hub", ["-m", "cli.confined", "-m", "jupyterhub", "-f", hub_config], 40, 20),
        *agent,
        *workers,
    ]


def run_dir(settings: Settings) -> Path:
    """Where the supervisor's files and other facts of the running platform lie."""
    return settings.state_dir / "run"


def config(settings: Settings, python: str = sys.executable) -> str:
    """The whole supervisord.conf."""
    logs = str(settings.state_dir / "logs").replace("%", "%%")
    parts = [Supervised(run_dir(settings)).common()]
    for program in programs(settings):
        command = shlex.join([python, *program.arguments]).replace("%", "%%")
        parts.append(
            f"[program:{program.name}]\ncommand={command}\n"
            f"directory={str(run_dir(settings)).replace('%', '%%')}\n"
            f"priority={program.order}\nautostart=true\nautorestart=true\n"
            f"startsecs=2\nstartretries=20\nstopwaitsecs={program.stop_seconds}\n"
            "stopasgroup=true\nkillasgroup=true\nredirect_stderr=true\n"
            f"stdout_logfile={logs}/{program.name}.log\n"
            "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=5\n"
        )
    return "\n".join(parts)


def process_environment(settings: Settings) -> dict[str, str]:
    """Environment of every process: exactly these settings, and the checkout as import path."""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    )
    return environment(settings) | {"PYTHONPATH": str(ROOT), "PATH": path, "PYTHONUNBUFFERED": "1"}


def write(settings: Settings) -> bool:
    """Write the supervisor's files; True when they differ from what was there."""
    folder = run_dir(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings.state_dir / "logs").mkdir(exist_ok=True, mode=0o700)
    files = {
        folder / "supervisord.conf": config(settings),
        folder / "code": code_version(),
        folder / "environment.json": json.dumps(process_environment(settings), indent=1),
    }
    changed = [f for f, text in files.items() if not f.exists() or f.read_text() != text]
    for file in changed:
        file.write_text(files[file])
        file.chmod(0o600)
    return bool(changed)


def code_version() -> str:
    """A hash that changes with our code, so that `./dli up` after an update restarts it."""
    total = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix in _CODE and "__pycache__" not in file.parts:
                total.update(f"{file}\0".encode() + file.read_bytes())
    for name in ("jupyterhub_config.py", "requirements.lock"):
        total.update((ROOT / name).read_bytes())
    return total.hexdigest()


def start(settings: Settings, unit: bool = False) -> None:
    """Start the platform's processes; with `unit`, as a systemd unit that also starts at boot."""
    supervised = Supervised(run_dir(settings))
    if unit and systemd_runs() and (root := as_root()) is not None:
        _start_unit(settings, root)
        supervised.wait()
        return
    stored = json.loads((run_dir(settings) / "environment.json").read_text())
    supervised.start(environment=_clean_environment() | stored)


def stop(settings: Settings) -> bool:
    """Stop the platform's processes. True when there were any."""
    if _unit_path(settings).exists():
        _systemctl("disable", "--now", _unit_path(settings).name)
        root = as_root() or []
        subprocess.run([*root, "rm", "-f", str(_unit_path(settings))], check=False)
        _systemctl("daemon-reload")
        return True
    supervised = Supervised(run_dir(settings))
    if not supervised.running():
        return False
    supervised.stop()
    return True


def unit_text(settings: Settings, python: str = sys.executable) -> str:
    """The systemd unit of this instance."""
    import pwd

    template = UNIT_TEMPLATE.read_text(encoding="utf-8")
    values = {
        "@INSTANCE@": settings.instance,
        "@USER@": pwd.getpwuid(os.geteuid()).pw_name,
        "@ROOT@": str(ROOT),
        "@PYTHON@": python,
        "@RUN@": str(run_dir(settings)),
    }
    for name, value in values.items():
        template = template.replace(name, value.replace("%", "%%"))
    return template


def _start_unit(settings: Settings, root: list[str]) -> None:
    unit = _unit_path(settings)
    done = subprocess.run(
        [*root, "tee", str(unit)],
        input=unit_text(settings),
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise CliError(_("Could not write {file}: {error}", file=unit, error=done.stderr.strip()))
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", unit.name)


def _systemctl(*words: str) -> None:
    command = [*(as_root() or []), "systemctl", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CliError(
            _("Failed: {command}", command=" ".join(command)) + f"\n{done.stderr.strip()}"
        )


def _unit_path(settings: Settings) -> Path:
    name = "dli-labs" if settings.instance == "dli" else f"dli-labs-{settings.instance}"
    return Path("/etc/systemd/system") / f"{name}.service"


def _clean_environment() -> dict[str, str]:
    """Ours without another instance's settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DLI_")}


def main() -> None:
    """Become the supervisord of the folder given as the only argument."""
    folder = Path(sys.argv[1])
    stored = json.loads((folder / "environment.json").read_text())
    command = [sys.executable, "-m", "supervisor.supervisord", "-n"]
    os.chdir(folder)
    os.execve(  # noqa: S606
        sys.executable,
        [*command, "-c", str(folder / "supervisord.conf")],
        _clean_environment() | stored,
    )


if __name__ == "__main__":
    main()
