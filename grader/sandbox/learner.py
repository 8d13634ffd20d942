"""Runs a learner's cells in a forked, pre-imported IPython. Holds no test that learners lack.

Before each test cell the process forks a *snapshot*, which waits. When all cells have run, the
main process is killed; only then are the full tests sent to the snapshots, one after the other.
So a test sees the state it would have seen in order, while no line of it was ever in a process
whose output a learner gets back.
"""

# mypy: disallow-subclassing-any=False
# (IPython's types are not followed)

from __future__ import annotations

import asyncio
import base64
import builtins
import inspect
import io
import marshal
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from grader.sandbox import frames

_CUT = "\n[output cut here: this notebook printed more than is kept]\n"
_LONGEST_TEXT = 200


class Capture:
    """Outputs of the current cell in nbformat's shape, up to `left` bytes per notebook."""

    def __init__(self, left: int) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.left = left
        self._waiting_clear = False

    def add(self, output: dict[str, Any], size: int) -> None:
        """Append one output while there is room; once there is none, say so and drop the rest."""
        if self._waiting_clear:
            self.outputs, self._waiting_clear = [], False
        if self.left <= 0:
            return
        self.left -= size
        if self.left <= 0:
            output = {"output_type": "stream", "name": "stdout", "text": [_CUT]}
        self.outputs.append(output)

    def stream(self, name: str, text: str) -> None:
        """Printed text, joined (at the end: in `take`) to what the same stream printed before."""
        if self.left <= 0:
            return
        text = text[: self.left]
        last = self.outputs[-1] if self.outputs and not self._waiting_clear else {}
        if last.get("output_type") != "stream" or last.get("name") != name:
            self.add({"output_type": "stream", "name": name, "text": [text]}, len(text) or 1)
            return
        self.left -= len(text)
        last["text"].append(text if self.left > 0 else _CUT)

    def clear(self, wait: bool) -> None:
        """`clear_output`."""
        if wait:
            self._waiting_clear = True
        else:
            self.outputs = []

    def take(self) -> list[dict[str, Any]]:
        """The cell's outputs; starts the next cell."""
        taken, self.outputs, self._waiting_clear = self.outputs, [], False
        for output in taken:
            if output["output_type"] == "stream":
                output["text"] = "".join(output["text"])
        return taken


class _Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr`."""

    encoding = "utf-8"

    def __init__(self, name: str, capture: Capture, descriptor: int) -> None:
        self.name = name
        self._capture = capture
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._capture.stream(self.name, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


class _Hook(DisplayHook):
    """The value of a cell's last line."""

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        data, size = _encoded(format_dict)
        output = {
            "output_type": "execute_result",
            "execution_count": self.prompt_count,
            "data": data,
            "metadata": md_dict or {},
        }
        self.shell.capture.add(output, size)

    def finish_displayhook(self) -> None:
        self._is_active = False


class _Publisher(DisplayPublisher):
    """`display()`, `clear_output()` and updates of an earlier display."""

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        capture = self.shell.capture
        encoded, size = _encoded(data)
        output = {"output_type": "display_data", "data": encoded, "metadata": metadata or {}}
        name = (transient or {}).get("display_id")
        for old in capture.outputs if update and name else []:
            if old.get("_id") == name:
                capture.left -= size
                if capture.left > 0:
                    old.update(data=encoded, metadata=metadata or {})
                return
        if not update:
            capture.add({**output, "_id": name} if name else output, size)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.capture.clear(wait)


class Shell(InteractiveShell):
    """IPython as a kernel runs it, with outputs kept instead of sent."""

    capture: Capture = Capture(0)

    def init_display_formatter(self) -> None:
        super().init_display_formatter()
        self.display_formatter.active_types = self.display_formatter.format_types

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        lines = [str(line) for line in stb]
        output = {
            "output_type": "error",
            "ename": str(getattr(etype, "__name__", etype)),
            "evalue": _text(evalue),
            "traceback": lines,
        }
        self.capture.add(output, sum(map(len, lines)) + 100)

    def enable_gui(self, gui: Any = None) -> None:
        pass

    def ask_exit(self) -> None:
        pass

    def mktempfile(self, data: Any = None, prefix: str = "ipython_edit_") -> str:
        raise NotImplementedError("no editor here")


def make_shell() -> Shell:
    """The one shell, made in the zygote before any learner's byte."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.display_page = True
    shell: Shell = Shell.instance(
        config=config, display_pub_class=_Publisher, displayhook_class=_Hook
    )
    return shell


def run_cells(
    shell: Shell, cells: list[dict[str, Any]], out: int, snapshots: dict[int, int], request: Any
) -> None:
    """Run `cells` in order, sending each result to `out`; fork a snapshot before each test."""
    fork, leave = os.fork, os._exit
    # Taken before any learner's code: what it replaces later does not count.
    answer = _answerer(shell)
    shell.capture = capture = Capture(request["output_bytes"])
    kernel_out = [_redirect(1), _redirect(2)]
    sys.stdout = _Stream("stdout", capture, 1)
    sys.stderr = _Stream("stderr", capture, 2)
    end = time.monotonic() + request["wall_seconds"]
    signal.signal(signal.SIGALRM, _too_long)
    for cell in cells:
        index = cell["index"]
        if index in snapshots:
            pid = fork()
            if pid == 0:
                os.close(out)
                answer(snapshots[index])
                leave(0)
            # A group of its own: it must outlive this process.
            os.setpgid(pid, pid)
            os.close(snapshots[index])
            frames.send(out, {"op": "snapshot", "index": index, "pid": pid})
        left = max(end - time.monotonic(), 1.0)
        _one_cell(shell, cell["source"], max(left / 2, 1.0))
        for name, descriptor in (("stdout", kernel_out[0]), ("stderr", kernel_out[1])):
            text = _drain(descriptor)
            if text:
                capture.stream(name, text)
        outputs = [_without_id(output) for output in capture.take()]
        count = shell.execution_count - 1
        frames.send(out, {"op": "cell", "index": index, "count": count, "outputs": outputs})
    frames.send(out, {"op": "end"})


def _one_cell(shell: Shell, source: str, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        shell.run_cell(source, store_history=True)
    except KeyboardInterrupt:
        shell.showtraceback()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class CellTimeoutError(KeyboardInterrupt):
    """A cell took more than half of the time that was left for the notebook."""


def _too_long(*_: Any) -> None:
    raise CellTimeoutError("this cell took too long")


def _answerer(shell: Shell) -> Callable[[int], None]:
    """What a snapshot does: take one test, run it, say how it ended. All names are bound early."""
    receive, loads, run, value_of = frames.receive_bytes, marshal.loads, exec, eval
    send, pristine, text = frames.send, dict(vars(builtins)), _text
    coroutine = inspect.CO_COROUTINE
    drain_later, drain, hide = _redirect, _drain, frames.hider()

    def ended(code: Any, space: dict[str, Any], last: bool) -> Any:
        result = value_of(code, space)
        if code.co_flags & coroutine:
            result = asyncio.run(result)
        return result if last else None

    def attempt(task: dict[str, Any], space: dict[str, Any]) -> dict[str, Any]:
        try:
            ended(task["body"], space, last=False)
            value = ended(task["last"], space, last=True) if task["last"] else None
        except BaseException as error:
            return {"outcome": "fail", "error": f"{type(error).__name__}: {text(error)}"}
        shown = None if value is None or task["quiet"] else text(value, repr)
        return {"outcome": "pass", "value": shown}

    def answer(channel: int) -> None:
        hide()  # a daemon left behind by the learner may not read the test
        task = loads(receive(channel, 50_000_000))
        errors = drain_later(2)
        space = shell.user_ns
        checks: dict[str, Any] = {"__builtins__": pristine, "shell": shell}
        checks["tables"] = task["tables"]
        run(task["guard"], checks)
        try:
            value_of(task["canary"], space)
            canary = False
        except AssertionError:
            canary = True
        shell.capture = recorder = Capture(1_000_000)
        sys.stdout = _Stream("stdout", recorder, 1)
        sys.stderr = _Stream("stderr", recorder, 2)
        result = attempt(task, space)
        loud = any(o.get("name") == "stderr" for o in recorder.outputs) or bool(drain(errors))
        send(
            channel,
            {
                **result,
                "nonce": task["nonce"],
                "canary": canary,
                "stderr": loud,
                "changed": checks["changed"][:20],
            },
        )

    return answer


def _encoded(data: Any) -> tuple[dict[str, Any], int]:
    """MIME data fit for JSON, and about how many bytes it takes."""
    encoded: dict[str, Any] = {}
    size = 100
    for kind, value in dict(data).items():
        item = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        encoded[str(kind)] = item
        size += len(item) if isinstance(item, str) else len(repr(item))
    return encoded, size


def _without_id(output: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in output.items() if key != "_id"}


def _text(value: Any, convert: Callable[[Any], str] = str) -> str:
    """`value` as text, cut; learners' classes may raise here."""
    try:
        return convert(value)[:_LONGEST_TEXT]
    except BaseException:
        return "?"


def _redirect(descriptor: int) -> int:
    """Let `descriptor` write into memory (bounded by RLIMIT_FSIZE); returns a reader of it."""
    memory = os.memfd_create(f"fd{descriptor}")
    os.dup2(memory, descriptor)
    return memory


def _drain(memory: int) -> str:
    """What a redirected descriptor wrote since the last call."""
    size = os.fstat(memory).st_size
    if not size:
        return ""
    text = os.pread(memory, size, 0).decode("utf-8", "replace")
    os.ftruncate(memory, 0)
    os.lseek(memory, 0, os.SEEK_SET)
    return text
