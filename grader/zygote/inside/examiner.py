"""Runs one test in the notebook's process, and says what was changed under it.

Everything that runs a test is taken hold of before the first learner's byte, and tests pass by
IPython's transformers and history. A process cannot hide from itself, so each test comes with a
*probe*, an assertion that fails with words that have to be computed: machinery that was made to
say "passed" says it of the probe too, and the host sees that.
"""

from __future__ import annotations

import asyncio
import builtins
import inspect
import linecache
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from . import capture, detect, guarded

_compile, _exec, _eval = compile, exec, eval
_settrace, _setprofile, _gettrace = sys.settrace, sys.setprofile, sys.gettrace
_active = threading._active  # type: ignore[attr-defined]
_builtins = vars(builtins)
_COROUTINE = inspect.CO_COROUTINE
_isinstance, _len, _str, _type = isinstance, len, str, type
_name_of: Callable[[type], str] = type.__dict__["__name__"].__get__  # a metaclass may have its own
_AssertionError = AssertionError
_getframe = sys._getframe
_LOOKING = frozenset({
    "sys._getframe", "sys._current_frames", "sys.settrace", "sys.setprofile", "sys.addaudithook",
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "signal.signal",
})  # fmt: skip
_FRAMES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame"})
_INSTALLED = (sys.prefix, sys.base_prefix, "/run/dli/", "<frozen ")
_HANDING = ("inspect.py", "ctypes/__init__.py", "bdb.py", "IPython/utils/frame.py")
"""Files of libraries whose functions hand frames or memory to whoever calls them; and functions."""
_HANDERS = (("traceback.py", "walk_stack"), ("traceback.py", "walk_tb"),
            ("logging/__init__.py", "<lambda>"), ("logging/__init__.py", "currentframe"),
            ("signal.py", "signal"), ("dlizygote/examiner.py", "told"))  # fmt: skip
_MOST_LOOKS = 20

Raised = tuple[str, str, int]
"""Class of an error, its message, line of the test (0: it never began)."""


class CellTimeoutError(KeyboardInterrupt):
    """A cell ran past its limit."""


def named(error: BaseException) -> str:
    """Name of the error's class, whatever the class says of itself."""
    return _name_of(_type(error))[:200]


class Examiner:
    """One per notebook's process. `tell`: a word to the keeper, at once."""

    def __init__(self, lab: Any, snapshot: detect.Snapshot, tell: Callable[[str], None]) -> None:
        self.lab = lab
        self.capture: capture.Capture = lab.capture
        self.snapshot = snapshot
        self.user = lab.user_ns
        self.tell = tell
        self.told: set[str] = set()
        self.testing: list[detect.Finding] | None = None
        self.looking = False
        self.looks = guarded.Looks()

    def begin(self) -> list[detect.Finding]:
        """What can be said before a test: who watches, what still runs."""
        found: list[detect.Finding] = []
        if _gettrace() is not None:
            found.append(detect.finding("trace", "a trace function was set", False))
        _settrace(None)
        _setprofile(None)
        if any(type(t).__name__ not in ("_MainThread", "TMonitor") for t in _active.values()):
            found.append(detect.finding("threads", "the notebook's threads still run", False))
        return found

    def findings(
        self, message: dict[str, Any], found: list[detect.Finding], names: set[str]
    ) -> None:
        """What was changed. A detector that fails is a finding itself."""
        try:
            aliases = {k: v for k, v in message["aliases"].items() if k in names}
            noted = self.snapshot.leaned_on(names)
            if self.testing is not None:
                self.looks.see = self.eye(noted, found, names)
            found.extend(self.snapshot.compare(noted))
            found.extend(self.snapshot.compare_builtins(names))
            found.extend(self.snapshot.compare_names(self.user, aliases))
            if self.testing is None:  # once, when the test is over: a look copies shared memory
                found.extend(self.snapshot.compare_own(self, self.capture))
            self.canary(found)
        except BaseException as error:
            found.append(detect.finding("detector", f"a check failed: {_type(error)}", True))

    def eye(
        self, noted: list[Any], found: list[detect.Finding], names: set[str]
    ) -> Callable[[], None]:
        """A look at what a test leans on, from within the test."""

        quick = [one.quick() for one in {id(one): one for one in noted}.values()]

        def see() -> None:
            if detect.still(quick) and not self.replaced_builtin(names):
                return
            new = [*self.snapshot.compare(noted), *self.snapshot.compare_builtins(names)]
            if new:
                self.looks.see = None  # once said is enough
                found.extend(new[:_MOST_LOOKS])

        return see

    def replaced_builtin(self, names: set[str]) -> bool:
        """Is a builtin that the test uses another one?"""
        return any(_builtins.get(name) is not self.snapshot.builtins.get(name) for name in names)

    def canary(self, found: list[detect.Finding]) -> None:
        """A false assertion on the path of the tests has to fail."""
        try:
            before = self.looks.count
            _exec(guarded.compiled("a = int()", "<test>", self.looks)[0], {})
            if self.looks.count == before:
                found.append(detect.finding("canary", "tests are not looked into", True))
            _exec(_compile("assert 1 == 2", "<test>", "exec"), {})
        except _AssertionError:
            return
        except BaseException as error:
            detail = f"raised {named(error)}"
        else:
            detail = "passed"
        found.append(detect.finding("canary", f"`assert 1 == 2` {detail}", True))

    def attempt(
        self, message: dict[str, Any], found: list[detect.Finding], names: set[str]
    ) -> Raised | None:
        """Run the test; what it raised. Raises CellTimeoutError."""
        label = f"<test {message['i']}>"
        self.canary(found)
        try:
            body, last = guarded.compiled(message["source"], label, self.looks)
            for code in (body, last):
                if code is not None:
                    names |= detect.used(code)
            if self.testing is not None:  # of a probe only its end counts
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
            name, text = named(error), capture.words(error)
            self.capture.add({"output_type": "error", "ename": name, "evalue": text,
                              "traceback": self.traceback(error, message)})  # fmt: skip
            return name, text[:2000], line
        finally:
            self.looks.see = None
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

    def watch(self, event: str, arguments: Any) -> None:
        """Audit hook: does a notebook's code look into frames, the heap or memory?

        Told at once, before it has what it looked for.
        """
        if self.looking or not _is_look(event, arguments):
            return
        self.looking = True  # looking here is an event too
        found = self.testing
        if _by_learner():
            if found is not None and _len(found) <= _MOST_LOOKS:
                found.append(detect.finding("looked", f"{event} during a test", False))
            if event not in self.told and _len(self.told) < _MOST_LOOKS:
                self.told.add(event)
                self.tell(event)
        self.looking = False

    def watch_signals(self) -> None:
        """A signal's handler is given a frame: say who sets one, which Python does not audit."""
        machine: Any = sys.modules["_signal"]
        real = machine.signal

        def told(number: int, handler: Any) -> Any:
            self.watch("signal.signal", ())
            return real(number, handler)

        machine.signal = told


def _is_look(event: str, arguments: Any) -> bool:
    if event == "object.__getattr__":
        return arguments[1] in _FRAMES
    if event in ("open", "import"):
        name = arguments[0]
        return _isinstance(name, _str) and (name.endswith("/mem") or name.startswith("dlizygote"))
    return event in _LOOKING or event.startswith("ctypes.")


def _by_learner() -> bool:
    """Is a notebook's code the caller, perhaps through a library, of what is being audited?

    What does not lie where libraries are installed is the notebook's: cells, its own files, exec.
    """
    frame: types.FrameType | None = _getframe(2)
    for _ in range(8):
        if frame is None:
            return False
        code = frame.f_code
        name = code.co_filename
        if not name.startswith(_INSTALLED):
            return True
        hands = any(name.endswith(end) and code.co_name == who for end, who in _HANDERS)
        if not hands and not name.endswith(_HANDING):
            return False
        frame = frame.f_back
    return False


def _line(error: BaseException, label: str) -> int:
    """Line of the test at which it raised; 0 when the test itself does not compile."""
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == label:
            return tb.tb_lineno
        tb = tb.tb_next
    return 0
