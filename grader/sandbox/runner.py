"""PID 1 of a grading container: imports packages once, then forks for each submission.

Speaks length-prefixed JSON on standard input and output with the worker outside. Three kinds of
process: this one (the *zygote*, never runs a learner's byte), one *keeper* per submission, which
enforces limits and holds tests, and the *learner* process with its snapshots.
Nothing here is imported by the platform; it needs the standard library and IPython.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import marshal
import os
import resource
import secrets
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

_CODE = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _CODE)

from grader.sandbox import frames, guard, learner  # noqa: E402 (the path is set above)

_REQUEST_BYTES = 200_000_000
_WORK = "/work"
ENVIRONMENT = {
    "HOME": "/work",
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 (a tmpfs of the container's own)
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # One thread: a thread pool does not survive a fork.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}


def main() -> None:
    """Import, say ready, serve until standard input ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--packages", default="")
    options.add_argument("--lifetime", type=int, default=3600, help="seconds until all of it ends")
    given = options.parse_args()
    packages = [name for name in given.packages.split(",") if name]
    # The first process ends by itself, and the container with it. Nothing may stand in front of
    # it: another first process would hold the standard input within reach of learners' code.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(3))
    signal.alarm(given.lifetime)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    frames.hider()()
    missing = import_all(packages)
    shell = learner.make_shell()
    tables = guard.remember([name.split(".")[0] for name in packages])
    out = os.dup(1)
    os.set_inheritable(out, False)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    frames.send(out, {"op": "ready", "missing": missing})
    while True:
        try:
            request = frames.receive(0, _REQUEST_BYTES)
        except frames.Broken:
            return
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            serve(shell, tables, request, out)
        _, status = os.waitpid(pid, 0)
        if status:
            frames.send(out, {"op": "broken", "status": status})


def import_all(packages: list[str]) -> list[str]:
    """Import each; the names of those that cannot be."""
    missing = []
    for name in packages:
        try:
            __import__(name)
        except Exception:
            missing.append(name)
    return missing


def serve(shell: Any, tables: Any, request: dict[str, Any], out: int) -> NoReturn:
    """The keeper's whole life: run the cells, then the tests, answer both, exit."""
    try:
        Keeper(shell, tables, request, out).run()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class Keeper:
    """Watches over one notebook. Learners' code runs in its children only."""

    def __init__(self, shell: Any, tables: Any, request: dict[str, Any], out: int) -> None:
        self.shell = shell
        self.tables = tables
        self.request = request
        self.out = out
        self.channels = {
            cell["index"]: socket.socketpair() for cell in request["cells"] if cell["test"]
        }
        self.snapshots: dict[int, int] = {}
        self.done: list[dict[str, Any]] = []

    def run(self) -> None:
        """Cells first; tests come in only when the process that ran the cells is dead."""
        reason = self.run_cells()
        frames.send(self.out, {"op": "cells", "cells": self.done, "reason": reason})
        tests = frames.receive(0, _REQUEST_BYTES)["tests"]
        results = [self.run_test(test["index"], test["source"]) for test in tests]
        frames.send(self.out, {"op": "tests", "tests": results})

    def run_cells(self) -> str:
        """Why the cells ended: "" when all ran, else end, time, too much, nonsense."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.become_learner(writer)
        os.close(writer)
        for _, theirs in self.channels.values():
            theirs.close()
        deadline = time.monotonic() + self.request["wall_seconds"]
        try:
            return self.collect(reader, deadline)
        except frames.Broken as broken:
            return str(broken)
        finally:
            os.close(reader)
            kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            self.sweep()

    def sweep(self) -> None:
        """Kill what the learner's code left running; snapshots stay."""
        spared = {1, os.getpid(), os.getppid(), *self.snapshots.values()}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in spared:
                kill(int(entry.name))

    def collect(self, reader: int, deadline: float) -> str:
        """Take what the learner's process sends. Everything in it may be a lie."""
        left = self.request["output_bytes"] * 2 + 1_000_000
        while True:
            data = frames.receive_bytes(reader, left, deadline)
            left -= len(data)
            message = parsed(data)
            if message.get("op") == "end":
                return ""
            if message.get("op") == "snapshot":
                index, snapshot = message.get("index"), message.get("pid")
                if isinstance(index, int) and isinstance(snapshot, int) and snapshot > 1:
                    self.snapshots[index] = snapshot
            elif message.get("op") == "cell":
                self.done.append(message)

    def become_learner(self, writer: int) -> NoReturn:
        """In the child: give everything away, then run the cells."""
        try:
            os.setsid()
            frames.hider(dumpable=1)()
            self.enter_work()
            limit_self(self.request)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.close(self.out)
            for ours, _ in self.channels.values():
                ours.close()
            ends = {index: pair[1].detach() for index, pair in self.channels.items()}
            learner.run_cells(self.shell, self.request["cells"], writer, ends, self.request)
        except BaseException:
            os._exit(1)
        os._exit(0)

    def enter_work(self) -> None:
        """A fresh folder with the submission's files; own modules come last on the path."""
        folder = Path(_WORK) / secrets.token_hex(8)
        folder.mkdir()
        for name, data in self.request["files"].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(data))
        os.chdir(folder)
        sys.path[:] = [p for p in sys.path if p != _CODE]
        sys.path.append(str(folder))
        sys.argv = ["ipykernel_launcher.py"]

    def run_test(self, index: int, source: str) -> dict[str, Any]:
        """One full test in its snapshot: pass or fail, never what it printed."""
        nonce = secrets.token_hex(16)
        try:
            task = {**guard.compiled(source), "nonce": nonce, "tables": self.tables}
            task |= {"guard": guard.code(), "canary": guard.canary()}
            data = marshal.dumps(task)
        except (SyntaxError, ValueError) as error:
            return {"index": index, "outcome": "broken-test", "error": str(error)[:200]}
        channel = self.channels[index][0]
        deadline = time.monotonic() + self.request["test_seconds"]
        try:
            channel.settimeout(self.request["test_seconds"])
            channel.sendall(len(data).to_bytes(4, "big") + data)
            channel.settimeout(None)
            result = frames.receive(channel.fileno(), 20_000, deadline)
        except (frames.Broken, OSError) as error:
            reached = index in self.snapshots
            outcome = ("time" if str(error) == "time" else "crash") if reached else "not-reached"
            return {"index": index, "outcome": outcome}
        finally:
            channel.close()
            if index in self.snapshots:
                kill(self.snapshots[index])
        if result.pop("nonce", None) != nonce:
            return {"index": index, "outcome": "forged"}
        return {**result, "index": index}


def parsed(data: bytes) -> dict[str, Any]:
    """A message from the learner's process. Raises Broken."""
    import json

    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise frames.Broken("nonsense") from None
    if not isinstance(message, dict):
        raise frames.Broken("nonsense")
    return message


def limit_self(request: dict[str, Any]) -> None:
    """First to be killed when memory runs out; no core files, no huge files."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size = request["file_bytes"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def kill(pid: int) -> None:
    """SIGKILL to a learner's process group and to itself; gone already is fine."""
    if pid <= 1 or pid == os.getpid():
        return
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
