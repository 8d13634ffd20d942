"""What a clever learner would try against the grader itself, in the real sandbox.

Each attack comes with wrong work; none may earn a point, and what is certain is said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.security import zygote_lab
from tests.security.zygote_lab import SECRET, Lab

pytestmark = pytest.mark.docker

WRONG = "def f(x):\n    return 0"
RIGHT = "def f(x):\n    return 2 * x"
HIDDEN = f"assert f(21) == 42, '{SECRET}'"
TEST = ("assert f(0) == 0", HIDDEN)
LIMITS = replace(zygote_lab.LIMITS, wall_seconds=8, cell_seconds=2)
SEEN = ("assert f(4) == 8", None)


@pytest.fixture(scope="module", name="lab")
def _lab() -> Iterator[Lab]:
    with zygote_lab.lab(["numpy"], LIMITS) as made:
        yield made


def innocent(lab: Lab) -> None:
    """The next learner's honest work earns everything, unflagged."""
    seen = lab.grade(RIGHT, TEST, SEEN)
    assert seen.points == {"t1": 2, "t2": 2}
    assert seen.told.flags == []


PATCH = """
def patch(kind):
    for name in ('attempt', 'run', 'test', 'probe', 'findings'):
        if hasattr(kind, name):
            setattr(kind, name, lambda *a, **k: None)
            print('patched', name)
"""
WALK = """
while frame:
    owner = frame.f_locals.get('self')
    if type(owner).__name__ in ('Runner', 'Examiner'):
        patch(type(owner))
    frame = frame.f_back
"""
HOLDS = {
    "modules": "import sys\nfor m in list(sys.modules.values()):\n"
               "    if hasattr(m, 'Examiner'): patch(m.Examiner)\n"
               "    if hasattr(m, '_eval'): m._eval = lambda *a: None; print('patched')",
    "heap": "import gc\nfor o in gc.get_objects():\n"
            "    if type(o).__name__ == 'Examiner': patch(type(o))",
    "import": "for name in ('runner', 'examiner', 'frames'):\n"
              "    try: __import__('dlizygote.' + name); print('imported')\n"
              "    except ImportError: pass",
}  # fmt: skip


@pytest.mark.parametrize("way", HOLDS)
def test_the_grader_is_not_found_by_name_or_in_the_heap(lab: Lab, way: str) -> None:
    seen = lab.grade(WRONG, PATCH, HOLDS[way], TEST, SEEN)
    assert seen.printed(2) == ""
    assert seen.points == {"t3": 0, "t4": 0}


FRAMES = {
    "getframe": "import sys\nframe = sys._getframe()" + WALK,
    "traceback": "try: 1 / 0\nexcept ZeroDivisionError as e: frame = e.__traceback__.tb_frame"
                 + WALK,
    "inspect": "import inspect\nframe = inspect.currentframe()" + WALK,
}  # fmt: skip


@pytest.mark.parametrize("way", FRAMES)
def test_who_walks_the_stack_is_seen_and_gains_nothing(lab: Lab, way: str) -> None:
    seen = lab.grade(WRONG, PATCH, FRAMES[way], TEST, SEEN)
    assert seen.points == {"t3": 0, "t4": 0}
    assert seen.flags & {"noticed", "changed-library"}


SIGNALLED = """
import signal
def handler(number, frame):
    while frame:
        owner = frame.f_locals.get('self')
        if type(owner).__name__ == 'Runner':
            {deed}
            print('done')
        frame = frame.f_back
signal.signal(signal.SIGUSR1, handler)
signal.raise_signal(signal.SIGUSR1)
"""
DEEDS = {
    "class": "patch(type(owner.examiner))",
    "instance": "owner.examiner.attempt = lambda *a, **k: None",
    "subclass": "owner.__class__ = type('R', (type(owner),), {'run': lambda *a: None})",
    "detector": "type(owner.examiner).findings = type(owner.examiner).attempt = lambda *a: None",
    "machine": "import sys; type(owner.examiner).execute = lambda *a: None",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_machinery_that_was_changed_all_the_same_is_caught(lab: Lab, deed: str) -> None:
    """A signal's handler is given a frame: nothing is asked for, nothing can be seen."""
    seen = lab.grade(WRONG, PATCH, SIGNALLED.format(deed=DEEDS[deed]), TEST, SEEN)
    assert "done" in seen.printed(2)
    assert seen.points == {"t3": 0, "t4": 0}
    assert seen.flags & {"tests-disarmed", "changed-library", "stopped-end"}


ANNOUNCE = """
import json, os, socket, struct, time
def answer(channel):
    size, = struct.unpack('!I', channel.recv(4))
    asked = json.loads(channel.recv(size))
    said = json.dumps({{'op': 'hidden', 'i': asked['i'], 'nonce': asked['nonce'], 'findings': [],
                       'raised': None, 'value': None, 'stderr': False,
                       'probed': ['AssertionError', '1', 1]}}).encode()
    channel.sendall(struct.pack('!I', len(said)) + said)
    time.sleep(60)
def announce(*indexes):
    for fd in range(3, 64):
        try: way = socket.socket(fileno=os.dup(fd))
        except OSError: continue
        if way.type != socket.SOCK_SEQPACKET: continue
        for index in indexes:
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if not pid: answer(theirs)
            socket.send_fds(way, [b'%d %d' % (index, pid)], [ours.fileno()])
        return
def f(x):
    {inside}
    return 0
{outside}
"""


@pytest.mark.parametrize("place", ["before", "in-test", "after"])
def test_a_snapshot_of_the_learners_own_is_forged(lab: Lab, place: str) -> None:
    inside = "announce(1) if x == 0 else None" if place == "in-test" else "pass"
    outside = "announce(1)" if place == "before" else ""
    code = ANNOUNCE.format(inside=inside, outside=outside)
    seen = lab.grade(code, TEST, "announce(1)" if place == "after" else "1", SEEN)
    assert set(seen.points.values()) == {0}
    assert "forged-result" in seen.flags
    innocent(lab)


def test_junk_on_the_keepers_socket_is_forged_too(lab: Lab) -> None:
    junk = (
        "import os, socket\nfor fd in range(3, 64):\n"
        "    try: way = socket.socket(fileno=os.dup(fd))\n    except OSError: continue\n"
        "    if way.type == socket.SOCK_SEQPACKET:\n"
        "        way.send(b'3 5'); way.send(b'x'); way.send(b'!' + b'\\xff' * 50)\n"
        "        socket.send_fds(way, [b'1 2'], [0, 1, 2, 0, 1])"
    )
    seen = lab.grade(RIGHT, junk, TEST)
    assert seen.points == {"t2": 0}
    assert "forged-result" in seen.flags
    innocent(lab)


def test_special_exceptions_fail_a_test_like_any_other(lab: Lab) -> None:
    kinds = ["SystemExit(0)", "GeneratorExit()", "KeyboardInterrupt()", "StopIteration(True)",
             "StopAsyncIteration()", "BaseExceptionGroup('', [SystemExit()])", "SyntaxError()",
             "type('CellTimeoutError', (KeyboardInterrupt,), {})()"]  # fmt: skip
    work = f"errors = [{', '.join(kinds)}]\ndef f(x):\n    raise errors[x]"
    tests = [(f"assert f({k}) is None", None) for k in range(len(kinds))]
    seen = lab.grade(work, *tests, ("x = 1", "assert f(0) is None"))
    assert set(seen.points.values()) == {0}


NAMELESS = """
class Meta(type):
    __name__ = property(lambda kind: 1 / 0)
    __class__ = property(lambda kind: 1 / 0)
class Odd(Exception, metaclass=Meta):
    def __str__(self): raise SystemExit
    __repr__ = __str__
def f(x):
    if x: raise Odd
    return 0
"""


def test_an_error_that_cannot_be_told_is_an_error(lab: Lab) -> None:
    assert lab.grade(NAMELESS, TEST, ("assert f(1) == 2", None)).points == {"t1": 0, "t2": 0}


def test_a_hidden_test_that_does_not_end_is_not_passed(lab: Lab) -> None:
    slow = "import time\ndef f(x):\n    if x: time.sleep(60)\n    return 0"
    deaf = (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})"
    )
    assert lab.grade(slow, TEST).points == {"t1": 0}
    seen = lab.grade(slow, deaf, TEST)
    assert seen.points == {"t2": 0}
    innocent(lab)


HOOKS = {
    "import-hook": "import sys\nclass Finder:\n    def find_spec(self, *a): print('asked', a)\n"
                   "sys.meta_path.insert(0, Finder())",
    "audit-hook": "import sys\ndef hook(event, args):\n"
                  "    if event in ('compile', 'exec'): raise RuntimeError\n"
                  "sys.addaudithook(hook)",
    "profile": "import sys, threading\nsys.setprofile(lambda *a: None)\n"
               "threading.setprofile(lambda *a: None)",
    "assertion-class": "import builtins\nclass M(type):\n"
                       "    def __instancecheck__(c, o): return True\n"
                       "builtins.AssertionError = M('AssertionError', (Exception,), {})",
    "clock": "import time\nfor n in ('time', 'monotonic', 'perf_counter', 'sleep'):\n"
             "    setattr(time, n, lambda *a: 0)",
    "timer": "import signal\ndef late(*a): raise GeneratorExit\n"
             "signal.signal(signal.SIGPROF, late)\n"
             "signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)",
    "exit-hooks": "import atexit, sys, weakref\natexit.register(print, 'x')\n"
                  "sys.unraisablehook = sys.excepthook = lambda *a: None",
    "displayhook": "import sys\nsys.displayhook = lambda v: None\n"
                   "get_ipython().displayhook = None\nget_ipython().display_formatter = None",
    "encoder": "import json, struct, socket\n"
               "json.dumps = json.JSONEncoder.encode = lambda *a, **k: '{}'\n"
               "struct.pack = lambda *a: b''\nsocket.socket.sendall = lambda *a: None",
}  # fmt: skip


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_change_no_score(lab: Lab, name: str) -> None:
    seen = lab.grade(WRONG, HOOKS[name], (TEST[0], f"import colorsys\n{HIDDEN}"), SEEN)
    assert seen.points == {"t2": 0, "t3": 0}
    assert SECRET not in seen.text
    assert "colorsys" not in seen.text


LAST = {
    "writes": "for fd in range(3, 64):\n        try: os.write(fd, said)\n"
              "        except OSError: pass",
    "leaves": "os._exit(0)",
    "forks": "if os.fork():\n        time.sleep(1); os._exit(0)",
    "becomes": "os.execv('/bin/sh',"
               " ['sh', '-c', 'for f in /proc/self/fd/*; do echo 1 > $f; done'])",
}  # fmt: skip


@pytest.mark.parametrize("name", LAST)
def test_the_process_that_waits_itself_forges_nothing(lab: Lab, name: str) -> None:
    """For the last cell no copy is made: the notebook's own process meets the hidden lines."""
    work = (
        "import json, os, struct, time\n"
        "body = json.dumps({'op': 'hidden', 'i': 1, 'nonce': '0' * 32, 'findings': [],"
        " 'raised': None, 'value': None, 'stderr': False, 'probed': None}).encode()\n"
        "said = struct.pack('!I', len(body)) + body\n"
        f"def f(x):\n    if x == 0: return 0\n    {LAST[name]}\n    return 0"
    )
    assert lab.grade(work, TEST).points == {"t1": 0}
    innocent(lab)


SETTLING = {
    "kill-all": "import os\nos.kill(-1, 9)",
    "stop-all": "import os\nos.kill(-1, 19)",
    "stop-itself": "import os\nos.kill(os.getpid(), 19)",
}


@pytest.mark.parametrize("name", SETTLING)
def test_whoever_ends_the_snapshots_ends_only_their_own(lab: Lab, name: str) -> None:
    seen = lab.grade(RIGHT, TEST, SETTLING[name], SEEN)
    assert seen.points["t1"] in (0, 2)
    assert seen.points["t3"] in (0, 2)
    innocent(lab)


def test_memory_is_watched_while_the_keeper_is_kept_waiting(lab: Lab) -> None:
    """Half a message on its way, then memory in many processes, none of them over its own limit."""
    stall = (
        "import os, socket, struct, time\nfor fd in range(3, 64):\n"
        "    try: way = socket.socket(fileno=os.dup(fd))\n    except OSError: continue\n"
        "    if way.type == socket.SOCK_STREAM: way.send(struct.pack('!I', 1000))\n"
        "for _ in range(12):\n    if os.fork() == 0:\n        x = b'x' * (90 << 20)\n"
        "        time.sleep(60)\ntime.sleep(60)"
    )
    patient = replace(LIMITS, wall_seconds=120, memory_mb=256)
    with zygote_lab.lab([], patient) as other:
        seen = other.grade(WRONG, stall, TEST)
        assert seen.points == {"t2": 0}
        assert seen.result.ended == "memory", seen.result
        innocent(other)


def test_output_of_any_shape_is_kept_fit_to_store(lab: Lab) -> None:
    seen = lab.grade(
        "print('\\ud800\\x00\\u202e'); '\\udfff'",
        "class R:\n    def __repr__(self): return '\\ud800' * 10\nR()",
        "class H:\n    def _repr_html_(self): return 5\n    def _repr_png_(self): return 'x'\n"
        "    def _repr_json_(self): return {'a': float('nan')}\nH()",
        "class G:\n    def __repr__(self): return 'x' * (1 << 26)\nG()",
        RIGHT, TEST,
    )  # fmt: skip
    str(seen.notebook).encode()
    assert seen.points == {"t5": 2}


def test_a_number_from_a_hidden_test_carries_no_text_out(lab: Lab) -> None:
    """Partial credit is a number; its digits are not the learner's to choose."""
    work = (
        "import sys\nclass N(float):\n    def __repr__(self): return '1.' + '1234567890' * 15\n"
        "    __str__ = _repr_html_ = __repr__\ndef f(x): return N(1)"
    )
    seen = lab.grade(work, ("x = 1", "f(21)"))
    assert "1234567890" * 2 not in seen.text
