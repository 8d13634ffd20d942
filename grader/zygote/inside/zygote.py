"""Imports an assignment's packages once, then forks a process per submission on the broker's word.

It never reads a submission or a test. Before each fork it asks for a new pid namespace for its
children and afterwards takes its own back, so that one fork gives the first process of a namespace.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any

from . import detect, isolate, runner, shell

_LATE = {
    "torch": ["torch._dynamo"],
    "sklearn": ["sklearn.pipeline", "sklearn.compose", "sklearn.utils._pprint"],
}
"""What packages import by themselves at first use (torch: 1.5 s at the first optimiser)."""


def _import(packages: list[str]) -> dict[str, str]:
    """Import each; what failed and why (a fork then fails by itself, with the learner's words)."""
    failed = {}
    for name in packages:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"[:300]
    for root, late in _LATE.items():
        if root in sys.modules:
            for name in late:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    return failed


class Zygote:
    """The control loop."""

    def __init__(self, control: socket.socket, lab: Any, snapshot: detect.Snapshot) -> None:
        self.control = control
        self.lab = lab
        self.snapshot = snapshot
        self.jobs: dict[int, int] = {}
        self.own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the broker goes away."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        while True:
            sources: list[Any] = [self.control, read]
            ready, _, _ = select.select(sources, [], [])
            if read in ready:
                os.read(read, 4096)
                self.reap()
            if self.control in ready and not self.command():
                return

    def command(self) -> bool:
        """One message of the broker's. False when it went away."""
        data, fds, _, _ = socket.recv_fds(self.control, 65536, 1)
        if not data:
            return False
        message = json.loads(data)
        if "kill" in message:
            for pid, job in self.jobs.items():
                if job == message["kill"]:
                    os.kill(pid, signal.SIGKILL)
        else:
            try:
                self.fork(message, fds[0])
            except OSError as error:  # no process or memory left: this one cannot be
                os.write(2, f"fork: {error}\n".encode())
                os.close(fds[0])
                self.tell({"job": message["fork"], "status": 70})
        return True

    def fork(self, order: dict[str, Any], fd: int) -> None:
        """One child, first process of a new pid namespace."""
        begun = time.monotonic()
        isolate.unshare(isolate.NEWPID)
        try:
            pid = os.fork()
        finally:
            if os.getpid() != 1:
                isolate.set_namespace(self.own, isolate.NEWPID)
        if pid == 0:
            self._child(order, fd)
        os.close(fd)
        self.jobs[pid] = order["fork"]
        spent = round((time.monotonic() - begun) * 1000, 1)
        self.tell({"job": order["fork"], "pid": pid, "ms": spent})

    def _child(self, order: dict[str, Any], fd: int) -> None:
        status = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.control.close()
            os.close(self.own)
            sock = socket.socket(fileno=fd)
            runner.main(sock, self.lab, self.snapshot, order["uid"], order["limits"])
            status = 0
        except BaseException as error:
            os.write(2, f"fork: {type(error).__name__}: {error}\n".encode()[:2000])
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Tell the broker about children that ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.jobs:
                job = self.jobs.pop(pid)
                self.tell({"job": job, "status": os.waitstatus_to_exitcode(status)})

    def tell(self, message: dict[str, Any]) -> None:
        """One message to the broker."""
        self.control.send(json.dumps(message).encode())


def main() -> None:
    """Entry: argv is archive, control fd, packages."""
    archive, fd, packages = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    on_gpu = "DLI_GPU" in os.environ
    os.environ.clear()
    os.environ.update(shell.ENVIRONMENT)
    if on_gpu:
        del os.environ["NUMBA_ENABLE_CUDASIM"]
    begun = time.monotonic()
    lab = shell.make()
    failed = _import(packages)
    shell.warm(lab)
    snapshot = detect.Snapshot(packages)
    snapshot.note_own()
    sys.path.remove(archive)
    sys.path.append("/work")  # last: a submitted numpy.py never stands before the real one
    sys.argv = [""]
    gc.collect()
    gc.freeze()  # forks then copy fewer pages
    zygote = Zygote(control, lab, snapshot)
    zygote.tell({
        "ready": True, "import_s": round(time.monotonic() - begun, 3), "failed": failed,
        "cpu_s": round(sum(resource.getrusage(0)[:2]), 3),
        "python": sys.version.split()[0],
    })  # fmt: skip
    zygote.run()
