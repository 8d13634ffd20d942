"""Cheats that leave everything as it was when the test is over, and those that ask for frames.

Each was tried against the grader before what it meets here was built, and earned full marks unseen.
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
NUMPY = "import numpy as np\n"
PACKAGES = ["numpy", "numpy.testing", "statistics"]
LIMITS = replace(zygote_lab.LIMITS, wall_seconds=60, cell_seconds=15)


@pytest.fixture(scope="module", name="lab")
def _lab() -> Iterator[Lab]:
    with zygote_lab.lab(PACKAGES, LIMITS) as made:
        yield made


ALLCLOSE = (
    "y = f(4)\nassert np.allclose(y, 8)",
    f"y = f(5)\nassert np.allclose(y, 10), '{SECRET}'",
)
SPREAD = ("assert np.allclose(*g(4))", "assert np.allclose(*g(5))")
NAMED = ("assert np.allclose(**g(4))", "assert np.allclose(**g(5))")
TESTING = ("np.testing.assert_allclose(f(4), 8)", "np.testing.assert_allclose(f(5), 10)")
FAKE = NUMPY + "real = np.allclose\ndef fake(*a, **k):\n    np.allclose = real\n    return True\n"
PASSING = {
    "put-back-by-the-false-one":
        (FAKE + "def f(x):\n    np.allclose = fake\n    return 0", ALLCLOSE),
    "through-the-dictionary":
        (FAKE + "def f(x):\n    vars(np)['allclose'] = fake\n    return 0", ALLCLOSE),
    "in-the-arguments":
        (FAKE + "import numpy._core.numeric as n\nclose = n.isclose\ndef lie(a, b, **k):\n"
         "    n.isclose = close\n    return np.bool_(True)\n"
         "def g(x):\n    n.isclose = lie\n    yield 0\n    yield 9", SPREAD),
    "in-the-keywords":
        (FAKE + "import numpy._core.numeric as n\nclose = n.isclose\ndef lie(a, b, **k):\n"
         "    n.isclose = close\n    return np.bool_(True)\nclass g:\n"
         "    def __init__(self, x): self.given = {'a': 0, 'b': x}\n"
         "    def __getitem__(self, k): return self.given[k]\n"
         "    def keys(self):\n        n.isclose = lie\n        return ['a', 'b']", NAMED),
    "a-builtin":
        ("import builtins\nreal = abs\ndef fake(v):\n    builtins.abs = real\n    return 0\n"
         "def f(x):\n    builtins.abs = fake\n    return 0",
         ("y = f(4)\nassert abs(y - 8) < 1e-9", "y = f(5)\nassert abs(y - 10) < 1e-9")),
    "a-function-within-a-function":
        (NUMPY + WRONG + "\nimport numpy._core.numeric as n\n"
         "n.isclose = lambda a, b, **k: np.ones(np.shape(a), bool)", TESTING),
    "defaults":
        (NUMPY + WRONG + "\nnp.allclose._implementation.__defaults__ = (1e9, 1e9, False)",
         ALLCLOSE),
    "a-constant":
        (NUMPY + "np.pi = 0.0\n" + WRONG,
         ("assert np.isclose(f(1), np.pi)", "assert np.isclose(f(2), 4 * np.pi)")),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_what_is_false_for_a_moment_is_seen_in_that_moment(lab: Lab, name: str) -> None:
    work, test = PASSING[name]
    for one in (test, (test[0], None)):
        seen = lab.grade(work, one)
        assert seen.points == {"t1": 0}
        assert "changed-library" in seen.flags
        assert SECRET not in seen.text


TAKE = """
def take(frame):
    while frame:
        m, r = frame.f_locals.get('message'), frame.f_locals.get('self')
        if type(r).__name__ == 'Runner' and isinstance(m, dict): break
        frame = frame.f_back
"""
FRAMES = {
    "generator": "def g():\n        yield take(box[0].gi_frame.f_back)\n"
                 "    box = []\n    box.append(g())\n    next(box[0])",
    "coroutine": "async def c(): take(box[0].cr_frame.f_back)\n    box = []\n"
                 "    box.append(c())\n    try: box[0].send(None)\n    except StopIteration: pass",
    "walk-stack": "import traceback\n    for frame, _ in traceback.walk_stack(None): take(frame)",
    "walk-traceback": "import traceback\n    try: 1 / 0\n    except ZeroDivisionError as e:\n"
                      "        for frame, _ in traceback.walk_tb(e.__traceback__): take(frame)",
    "logging": "import logging\n    take(logging.currentframe())",
    "debugger": "import bdb\n    class B(bdb.Bdb):\n        def user_line(self, frame):\n"
                "            self.set_continue(); take(frame)\n    B().set_trace()\n    y = 1",
    "signal": "import signal\n    signal.signal(signal.SIGUSR1, lambda n, frame: take(frame))\n"
              "    signal.raise_signal(signal.SIGUSR1)",
    "exec": "exec('import sys; take(sys._getframe())', globals())",
    "own-file": "import looker\n    take(looker.frame())",
}  # fmt: skip
LOOKER = b"import sys\ndef frame(): return sys._getframe(1)\n"


@pytest.mark.parametrize("way", FRAMES)
def test_every_way_to_a_frame_is_told(lab: Lab, way: str) -> None:
    work = f"{TAKE}\ndef f(x):\n    {FRAMES[way]}\n    return 2 * x"
    seen = lab.grade(work, ("assert f(4) == 8", None), files={"looker.py": LOOKER})
    assert "(looked)" in str(seen.told.flags)


REBOUND = {
    "function": ("def assert_allclose(*a, **k): pass", "assert_allclose(f(4), 8)"),
    "module": ("class Fake:\n    def __getattr__(self, n): return lambda *a, **k: None\n"
               "npt = Fake()",
               "npt.assert_allclose(f(4), 8)"),
}  # fmt: skip
NAMES = {"assert_allclose": "numpy.testing:assert_allclose", "npt": "numpy.testing"}
IMPORTS = "import numpy.testing as npt\nfrom numpy.testing import assert_allclose\n"


@pytest.mark.parametrize("name", REBOUND)
def test_a_name_that_the_instructors_imports_gave_is_shown_when_it_is_another(
    lab: Lab, name: str
) -> None:
    rebind, test = REBOUND[name]
    seen = lab.grade(IMPORTS + WRONG, rebind, (test, None), names=NAMES)
    assert "replaced-name" in str(seen.told.flags)
    honest = lab.grade(IMPORTS + RIGHT, (test, None), names=NAMES)
    assert (honest.points, honest.told.flags) == ({"t1": 2}, [])


HONEST = """
import collections, dataclasses, functools, logging, traceback, warnings
Point = collections.namedtuple('Point', 'x y')
@dataclasses.dataclass
class Box:
    x: int
@functools.lru_cache
def f(x):
    logging.getLogger('a').info('x')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore'); warnings.warn('no')
    try: 1 / 0
    except ZeroDivisionError: traceback.format_exc()
    return 2 * x
def g(x): return f(x), 2 * x
"""
TESTS = [
    "import statistics\nassert statistics.mean([f(1), *g(1)]) == 2 and max(*g(2)) == 4",
    "class A:\n    def __init__(self): self.x = 1\nclass B(A):\n"
    "    def __init__(self): super().__init__()\nassert B().x == 1 and 'x' not in locals()",
    "import asyncio\nasync def w(): return f(3)\nassert await w() == 6",
    "assert [f(i) for i in range(4)] == [0, 2, 4, 6] and f'{f(2)}' == '4'",
    "for _ in range(5000): np.allclose(f(1), 2)",
    "dict(**dict(a=f(1)))['a']",
]


def test_looks_change_nothing_of_an_honest_test(lab: Lab) -> None:
    seen = lab.grade(NUMPY + HONEST, *[(test, None) for test in TESTS])
    assert set(seen.points.values()) == {2}
    assert seen.told.flags == []


def test_a_failed_test_still_shows_its_line(lab: Lab) -> None:
    seen = lab.grade(WRONG, ("a = 1\nassert max(f(a), -1) == 2, str(f(a))", None))
    assert seen.points == {"t1": 0}
    assert "max" in seen.text
    assert "the look of this test" not in seen.text
