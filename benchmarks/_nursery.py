"""Forks the processes that `crash_coursework` kills from one that has imported everything.

What is tried is how they die; a start then costs milliseconds instead of seconds of imports.
`python -m benchmarks._nursery MODULE…` reads a line of JSON for each birth, [module, log,
argument…], runs the module's main in a child, and answers with the child's process id.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from core.settings import ROOT


class Nursery:
    """The other end. Whoever asks for a process also kills it."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._nursery", *modules],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def start(self, module: str, log: Path, *arguments: str | int) -> int:
        """Run `module`.main(*arguments) in a new process; its id."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([module, str(log), *arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is gone. Raises ProcessLookupError when it had ended by itself."""
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.005)


def main(modules: list[str]) -> None:
    """Until the end of standard input."""
    for module in modules:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        module, log, *arguments = json.loads(line)
        pid = os.fork()
        if not pid:
            _live(module, log, arguments)
        print(pid, flush=True)


def _live(module: str, log: str, arguments: list[Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    status = 1
    try:
        folder, *others = arguments
        importlib.import_module(module).main(Path(folder), *others)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
