"""Talking to a supervisord: start one, ask it, stop it. Used for the platform and the engine."""

from __future__ import annotations

import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.text import _

_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 108 bytes, and supervisord adds a suffix
_ANSWER_S = 20
_STOP_S = 90


@dataclass(frozen=True)
class ProcessState:
    """One process as supervisord sees it."""

    name: str
    state: str
    """supervisord's word: RUNNING, STARTING, BACKOFF, STOPPED, EXITED, FATAL."""
    pid: int
    seconds: int
    """How long it has been in this state."""
    reason: str


class Supervised:
    """The supervisord whose files lie in `folder` (supervisord.conf, .sock, .pid, .log)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "supervisord.conf"
        self.socket = folder / "supervisor.sock"
        if len(str(self.socket)) > _LONGEST_SOCKET_PATH:
            raise CliError(
                _("The path {path} is too long for a Unix socket", path=self.socket),
                _("Choose a shorter state_dir"),
            )

    def common(self) -> str:
        """The sections every one of our supervisord.conf begins with."""
        f = str(self.folder).replace("%", "%%")
        return (
            f"[unix_http_server]\nfile={f}/supervisor.sock\nchmod=0700\n\n"
            f"[supervisord]\nlogfile={f}/supervisord.log\nlogfile_maxbytes=5MB\n"
            f"logfile_backups=2\npidfile={f}/supervisord.pid\nchildlogdir={f}\n\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = "
            "supervisor.rpcinterface:make_main_rpcinterface\n"
        )

    def _api(self) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def running(self) -> bool:
        """True when the supervisord answers."""
        try:
            return bool(self._api().getState()["statecode"] == 1)
        except (OSError, xmlrpc.client.Error):
            return False

    def states(self) -> list[ProcessState]:
        """Its processes. Raises CliError when it does not answer."""
        try:
            found = self._api().getAllProcessInfo()
        except (OSError, xmlrpc.client.Error) as error:
            raise CliError(_("The supervisor does not answer: {error}", error=error)) from None
        return [
            ProcessState(
                p["name"],
                p["statename"],
                p["pid"],
                max(0, p["now"] - (p["start"] if p["pid"] else p["stop"])),
                p["spawnerr"],
            )
            for p in found
        ]

    def start(self, environment: dict[str, str] | None = None) -> None:
        """Start the supervisord in the background and wait until it answers."""
        command = [sys.executable, "-m", "supervisor.supervisord"]
        # A session of its own: a Ctrl+C in the terminal of `./dli up` must not reach the platform.
        done = subprocess.run(
            [*command, "-c", str(self.conf)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
            cwd=self.folder,
        )
        self.wait(0 if done.returncode else _ANSWER_S, said=(done.stdout + done.stderr).strip())

    def wait(self, seconds: float = _ANSWER_S, said: str = "") -> None:
        """Return when the supervisord answers. Raises CliError with its log after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.running():
                return
            time.sleep(0.05)
        said = said or self.log_tail(self.folder / "supervisord.log")
        raise CliError(_("The supervisor did not start:") + f"\n{said}")

    def stop_process(self, name: str) -> None:
        """Stop one process; it stays stopped."""
        self._api().stopProcess(name, True)

    def start_process(self, name: str) -> None:
        """Start one stopped process."""
        self._api().startProcess(name, True)

    def stop(self) -> None:
        """Stop every process and the supervisord itself; returns when it is gone."""
        pid = self._pid()
        try:
            self._api().shutdown()
        except (OSError, xmlrpc.client.Error):
            return
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            if not self.running() and not _alive(pid):
                return
            time.sleep(0.1)
        raise CliError(
            _(
                "The supervisor (process {pid}) did not stop in {seconds} s",
                pid=pid,
                seconds=_STOP_S,
            )
        )

    def _pid(self) -> int:
        try:
            return int((self.folder / "supervisord.pid").read_text())
        except (OSError, ValueError):
            return 0

    @staticmethod
    def log_tail(file: Path, lines: int = 15) -> str:
        """The last lines of a log; empty when there is none."""
        try:
            with file.open("rb") as log:
                log.seek(0, 2)
                log.seek(max(0, log.tell() - 16_384))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def _alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists() and not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        return ") Z" in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
