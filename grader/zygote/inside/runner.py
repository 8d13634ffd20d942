"""One notebook in one fork: cells as they come, visible tests in their turn, outputs back at once.

Everything that runs a test is taken hold of before the first learner's byte, and tests pass by
IPython's transformers and history. A process cannot hide from itself: a tested function may still
look up the stack. Hidden tests therefore run only in snapshots (see keeper), of which the host
takes no more than: passed, class of the error, a number, whether stderr was written to.

Where the hidden lines come last, the snapshot is made after the visible ones ("after") and runs the
hidden lines alone; else before them ("before"), and it runs all. For the notebook's last cell no
copy is needed ("itself"): nothing follows, and nothing that the process says is passed on any more.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import inspect
import linecache
import os
import random
import signal
import socket
import sys
import threading
import types
from pathlib import Path
from typing import Any

from . import capture, detect, frames, isolate, keeper, shell

_compile, _exec, _eval = compile, exec, eval
_AST = ast.PyCF_ONLY_AST
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_Expression, _Expr = ast.Expression, ast.Expr
_settrace, _setprofile, _gettrace = sys.settrace, sys.setprofile, sys.gettrace
_active = threading._active  # type: ignore[attr-defined]
_COROUTINE = inspect.CO_COROUTINE
_setitimer, _REAL = signal.setitimer, signal.ITIMER_REAL
_isinstance, _len, _type = isinstance, len, type
_fork, _exit, _getstate, _setstate = os.fork, os._exit, random.getstate, random.setstate
_getpid, _listdir = os.getpid, os.listdir
_send_fds, _prctl = socket.send_fds, isolate.libc.prctl
_DUMPABLE = 4  # PR_SET_DUMPABLE
_AssertionError = AssertionError
_LOOKING = ("sys._getframe", "sys._current_frames", "gc.get_objects", "gc.get_referrers")


class CellTimeoutError(KeyboardInterrupt):
    """A cell ran past its limit."""


def _alarm(*_: Any) -> None:
    raise CellTimeoutError("the cell ran past its time limit")


class Runner:
    """The loop of one fork."""

    def __init__(
        self, sock: socket.socket, register: socket.socket, lab: Any, snapshot: detect.Snapshot
    ) -> None:
        self.sock = sock
        self.register = register
        self.lab = lab
        self.capture = lab.capture
        self.snapshot = snapshot
        self.user = lab.user_ns
        self.limits: dict[str, int] = {}
        self.left = 0
        self.testing: list[detect.Finding] | None = None
        self.later: socket.socket | None = None
        """Where the last cell's hidden lines will come from, if this process waits for them."""
        self.send = sock.sendall
        self.encode = frames.encode

    def start(self, message: dict[str, Any], limits: dict[str, int]) -> None:
        """Write the submission's other files (regular files only, by construction)."""
        self.limits = limits
        self.left = limits["output_bytes"] // 2
        root = Path("/work")
        os.chdir(root)
        for name, data in message["files"].items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(data))
        os.environ.update(message.get("env", {}))
        self.reply({"op": "started"})

    def reply(self, message: dict[str, Any]) -> None:
        """One message to the host."""
        self.send(self.encode(message))

    def serve(self) -> None:
        """Until the host says end or goes away."""
        while True:
            message = frames.receive(self.sock)
            if message["op"] == "cells":
                for cell in message["cells"]:
                    self.cell(cell)
            elif message["op"] == "test":
                self.visible(message)
            else:
                self.reply({"op": "ended"})
                if self.later is not None:
                    self.wait_for_hidden(self.later)
                return

    def visible(self, message: dict[str, Any]) -> None:
        """A test as the learner knows it, and a snapshot for its hidden lines."""
        when = message["snapshot"]
        if when == "before":
            self.fork_snapshot(message["i"])
        if not self.test(message):
            return
        if when == "itself" and _len(_listdir("/proc/self/task")) == 1:
            ours, self.later = socket.socketpair()
            self.announce(message["i"], _getpid(), ours)
        elif when in ("itself", "after"):  # a copy has no threads of the notebook's
            self.fork_snapshot(message["i"])

    def cell(self, cell: dict[str, Any]) -> None:
        """A learner's cell, as a notebook would run it."""
        self.begin()
        with self.limited(cell):
            self.lab.run_cell(cell["source"], store_history=True, silent=False)
        self.reply({"op": "cell", "i": cell["i"], "outputs": self.finish(),
                    "count": self.capture.count})  # fmt: skip

    def begin(self) -> None:
        """Give the coming cell its part of the output allowance."""
        self.capture.begin(min(self.left, self.limits["cell_bytes"]), self.lab.execution_count)

    def finish(self) -> list[capture.Output]:
        """Outputs that JSON can carry; a display of something else becomes its text."""
        outputs = self.capture.end()
        self.left -= min(self.left, self.limits["cell_bytes"]) - max(0, self.capture.room)
        return [_plain(output) for output in outputs]

    @contextlib.contextmanager
    def limited(self, cell: dict[str, Any]) -> Any:
        """The cell's own time limit. The wall limit of the whole needs nobody's goodwill."""
        _setitimer(_REAL, cell["seconds"])
        try:
            yield
        except CellTimeoutError as error:
            self.error(error)
        except BaseException as error:  # the shell itself was broken by the cell
            self.error(error)
        finally:
            _setitimer(_REAL, 0)

    def error(self, error: BaseException) -> None:
        """An error output without a learner's formatting."""
        name = _type(error).__name__
        text = capture.words(error)
        self.capture.add({"output_type": "error", "ename": name, "evalue": text,
                          "traceback": [f"{name}: {text}"]})  # fmt: skip

    def test(self, message: dict[str, Any]) -> bool:
        """A grade cell: canary, findings, the test, findings again. True when it passed."""
        self.begin()
        found: list[detect.Finding] = []
        if _gettrace() is not None:
            found.append(detect.finding("trace", "a trace function was set", False))
        _settrace(None)
        _setprofile(None)
        if any(type(t).__name__ not in ("_MainThread", "TMonitor") for t in _active.values()):
            found.append(detect.finding("threads", "the notebook's threads still run", False))
        raised: tuple[str, str, int] | None = None
        self.testing = found
        names: set[str] = set()
        with self.limited(message):
            raised = self.attempt(message, found, names)
        self.testing = None
        self.lab.execution_count += 1
        self.findings(message, found, names)
        if message["hidden"]:
            self.answer_hidden(message, raised, found)
            return False
        outputs = self.finish()
        self.reply({
            "op": "test", "i": message["i"], "nonce": message["nonce"], "outputs": outputs,
            "raised": raised, "findings": found[:50], "count": self.capture.count,
        })  # fmt: skip
        return raised is None and all(o["output_type"] != "error" for o in outputs)

    def fork_snapshot(self, index: int) -> None:
        """A copy of this process that waits for the hidden lines of cell `index`."""
        ours, theirs = socket.socketpair()
        state = _getstate()
        pid = _fork()
        if pid:
            theirs.close()
            self.announce(index, pid, ours)
            return
        _setstate(state)  # Python seeds a forked child anew
        for sock in (ours, self.sock):
            sock.close()
        self.wait_for_hidden(theirs)

    def announce(self, index: int, pid: int, channel: socket.socket) -> None:
        """Tell the keeper of a snapshot, and give it the other end of its channel."""
        _send_fds(self.register, [b"%d %d" % (index, pid)], [channel.fileno()])
        channel.close()

    def wait_for_hidden(self, channel: socket.socket) -> None:
        """From here on this process is a snapshot: it runs one hidden test and ends.

        It says how that ended, and nothing of what it showed.
        """
        try:
            _prctl(_DUMPABLE, 0, 0, 0, 0)
            self.register.close()
            self.sock, self.send = channel, channel.sendall
            self.left = self.limits["output_bytes"]
            self.test({**frames.receive(channel), "hidden": True})
        finally:
            _exit(0)

    def answer_hidden(
        self, message: dict[str, Any], raised: Any, found: list[detect.Finding]
    ) -> None:
        """What may leave a snapshot."""
        outputs = self.finish()
        values = [o["data"].get("text/plain") for o in outputs if "data" in o and "metadata" in o
                  and o["output_type"] == "execute_result"]  # fmt: skip
        self.reply({
            "op": "hidden", "i": message["i"], "nonce": message["nonce"], "findings": found[:50],
            "raised": raised, "value": str(values[-1])[:200] if values else None,
            "stderr": any(o.get("name") == "stderr" for o in outputs),
        })  # fmt: skip

    def findings(
        self, message: dict[str, Any], found: list[detect.Finding], names: set[str]
    ) -> None:
        """What was changed. A detector that fails is a finding itself."""
        try:
            aliases = {k: v for k, v in message["aliases"].items() if k in names}
            found.extend(self.snapshot.compare(names))
            found.extend(self.snapshot.compare_builtins(names))
            found.extend(self.snapshot.compare_names(self.user, aliases))
            self.canary(found)
        except BaseException as error:
            found.append(detect.finding("detector", f"a check failed: {_type(error)}", True))

    def canary(self, found: list[detect.Finding]) -> None:
        """A false assertion on the path of the tests has to fail."""
        try:
            _exec(_compile("assert 1 == 2", "<test>", "exec"), {})
        except _AssertionError:
            return
        except BaseException as error:
            detail = f"raised {_type(error).__name__}"
        else:
            detail = "passed"
        found.append(detect.finding("canary", f"`assert 1 == 2` {detail}", True))

    def attempt(
        self, message: dict[str, Any], found: list[detect.Finding], names: set[str]
    ) -> tuple[str, str, int] | None:
        """Run the test; class, message and line of what it raised."""
        label = f"<test {message['i']}>"
        self.canary(found)
        try:
            body, last = _parts(message["source"], label)
            for code in (body, last):
                if code is not None:
                    names |= detect.used(code)
            self.findings(message, found, names)
            if not message["hidden"]:
                text = message["source"]
                linecache.cache[label] = (_len(text), None, text.splitlines(True), label)
            self.execute(body)
            value = self.execute(last) if last is not None else None
            if value is not None and not message["quiet"]:
                self.show(value)
            self.flush_figures()
        except CellTimeoutError:
            raise
        except BaseException as error:
            line = _line(error, label)
            name, text = _type(error).__name__, capture.words(error)
            self.capture.add({"output_type": "error", "ename": name, "evalue": text,
                              "traceback": self.traceback(error, message)})  # fmt: skip
            return name, text[:2000], line
        return None

    def execute(self, code: types.CodeType) -> Any:
        """exec or eval in the learner's namespace, awaiting where the test awaits."""
        value = _eval(code, self.user)
        if code.co_flags & _COROUTINE:
            value = asyncio.new_event_loop().run_until_complete(value)
        return value

    def show(self, value: Any) -> None:
        """The result of the test's last expression: partial credit is read from its text."""
        if _type(value) in (int, float, bool, str):
            data: dict[str, Any] = {"text/plain": repr(value)}
            metadata: dict[str, Any] = {}
        else:
            data, metadata = self.lab.display_formatter.format(value)
        self.capture.add({"output_type": "execute_result", "data": data, "metadata": metadata,
                          "execution_count": self.capture.count})  # fmt: skip

    def flush_figures(self) -> None:
        """Plots of a test belong to the test."""
        backend = sys.modules.get("matplotlib_inline.backend_inline")
        if backend is not None:
            backend.flush_figures()

    def traceback(self, error: BaseException, message: dict[str, Any]) -> list[str]:
        """A notebook's traceback where the test is the learner's to read; else nothing."""
        if message["hidden"]:
            return []
        try:
            tb = error.__traceback__
            while tb is not None and not tb.tb_frame.f_code.co_filename.startswith("<test"):
                tb = tb.tb_next
            found = self.lab.InteractiveTB.structured_traceback(_type(error), error, tb)
            return [str(line) for line in found]
        except BaseException:
            return []

    def watch(self, event: str, _: Any) -> None:
        """Audit hook: who looks into frames or the heap while a test runs?"""
        found, self.testing = self.testing, None  # looking here is an event too
        if found is not None and event in _LOOKING and _len(found) <= 20 and _by_learner():
            found.append(detect.finding("looked", f"{event} during a test", False))
        self.testing = found


def _by_learner() -> bool:
    """Is a notebook's cell the caller (perhaps through `inspect`) of what is being audited?"""
    frame: types.FrameType | None = _getframe(2)
    for _ in range(4):
        if frame is None:
            return False
        name = frame.f_code.co_filename
        if name.startswith("<ipython-input"):
            return True
        if not name.endswith("inspect.py"):
            return False
        frame = frame.f_back
    return False


_getframe = sys._getframe


def _parts(source: str, label: str) -> tuple[types.CodeType, types.CodeType | None]:
    """Compile a cell: its statements, and its last expression where it ends in one."""
    tree = _compile(source, label, "exec", _AST | _AWAIT)
    last = None
    if tree.body and _isinstance(tree.body[-1], _Expr):
        last = _compile(_Expression(tree.body.pop().value), label, "eval", _AWAIT)
    return _compile(tree, label, "exec", _AWAIT), last


def _line(error: BaseException, label: str) -> int:
    """Line of the test at which it raised; 0 when the test itself does not compile."""
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == label:
            return tb.tb_lineno
        tb = tb.tb_next
    return 0


def _plain(output: capture.Output) -> capture.Output:
    try:
        frames.encode(output)
    except (TypeError, ValueError, RecursionError):
        return {"output_type": "stream", "name": "stdout", "text": "<a display that is not JSON>"}
    return output


def _reseed() -> None:
    """Forks of one zygote would all draw the same numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def main(
    comm: socket.socket, lab: Any, snapshot: detect.Snapshot, uid: int, limits: dict[str, int]
) -> None:
    """Everything of one fork: shut in, split into keeper and notebook. Returns when it is over."""
    lab.capture.redirect()
    isolate.shut_in(uid, limits)
    ours, theirs = socket.socketpair()
    take, give = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid = os.fork()
    if pid:
        theirs.close()
        give.close()
        keeper.Keeper(comm, ours, take, pid, limits).run()
        return
    try:
        for sock in (comm, ours, take):
            sock.close()
        _notebook(Runner(theirs, give, lab, snapshot), limits)
    finally:
        os._exit(0)


def _notebook(runner: Runner, limits: dict[str, int]) -> None:
    os.nice(5)  # keeper, broker and zygote answer first
    _prctl(_DUMPABLE, 1, 0, 0, 0)  # lets the keeper see its memory; nothing secret is in it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, _alarm)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    shell.attach(runner.lab)
    runner.snapshot.builtins = dict(vars(__import__("builtins")))
    _reseed()
    sys.addaudithook(runner.watch)
    with contextlib.suppress(frames.Closed):
        runner.start(frames.receive(runner.sock), limits)
        runner.serve()
