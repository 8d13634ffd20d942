"""Attacks on grading, each against the real sandbox, with what a safe system shows.

Numbers are those of the attacks that were first measured against plain nbgrader.
"""

from __future__ import annotations

import io
import pathlib
import pickle
import threading
import zipfile
from collections.abc import Iterator

import pytest

from tests.security.zygote_lab import SECRET, Lab, lab

pytestmark = pytest.mark.docker

WRONG = "def f(x):\n    return 0"
RIGHT = "def f(x):\n    return 2 * x"
VISIBLE = "assert f(0) == 0"
HIDDEN = f"assert f(21) == 42, '{SECRET}'"
TEST = (VISIBLE, HIDDEN)


@pytest.fixture(scope="module", name="lab")
def _lab() -> Iterator[Lab]:
    with lab(["numpy"]) as made:
        yield made


def innocent(lab: Lab) -> None:
    """The next learner's honest work earns everything, unflagged."""
    seen = lab.grade(RIGHT, TEST)
    assert seen.points == {"t1": 2}
    assert seen.told.flags == []


def test_honest_work_passes_and_wrong_work_fails(lab: Lab) -> None:
    innocent(lab)
    seen = lab.grade(WRONG, TEST)
    assert seen.points == {"t1": 0}
    assert SECRET not in seen.text


LOOK_AROUND = """
import glob, os
found = []
for root, folders, names in os.walk('/'):
    folders[:] = [f for f in folders if f not in ('proc', 'sys', 'site-packages', 'usr')]
    found += [os.path.join(root, n) for n in names
              if n.endswith(('.ipynb', '.db', '.sqlite')) or 'gradebook' in n or 'submitted' in n]
print(sorted(found), os.listdir('.'), glob.glob('../*/submitted/*'))
"""


def test_01_to_04_no_tests_solutions_submissions_or_gradebook_on_disk(lab: Lab) -> None:
    seen = lab.grade(WRONG, TEST, LOOK_AROUND, files={"mine.csv": b"1,2\n"})
    assert seen.printed(2) == "[] ['mine.csv'] []\n"
    assert seen.points == {"t1": 0}


@pytest.mark.parametrize(
    "attack",
    [
        "get_ipython().input_transformers_post.append(lambda lines: [])",
        "import ast\nclass Strip(ast.NodeTransformer):\n"
        "    def visit_Assert(self, node): return ast.Pass()\n"
        "get_ipython().ast_transformers.append(Strip())",
        "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)",
        "get_ipython().run_cell = get_ipython().run_code = lambda *a, **k: None",
        "import builtins\nbuiltins.exec = builtins.eval = builtins.compile = lambda *a, **k: None",
        "AssertionError = ZeroDivisionError\nimport builtins\nbuiltins.AssertionError = OSError",
        "import sys\nsys.settrace(lambda *a: None)",
        "import sys\nsys.excepthook = lambda *a: None\nsys.exit = lambda *a: None",
        "import atexit, os\natexit.register(os._exit, 0)",
    ],
    ids=["05-transformer", "06-ast", "08-custom-exc", "run-cell", "exec", "assertion-error",
         "trace", "excepthook", "atexit"],
)  # fmt: skip
def test_disarmed_machinery_does_not_pass_tests(lab: Lab, attack: str) -> None:
    seen = lab.grade(WRONG + "\n" + attack, TEST, ("assert f(4) == 8", None))
    assert seen.points == {"t1": 0, "t2": 0}


REPLACED = {
    "07-allclose": "np.allclose = lambda *a, **k: True",
    "inner-function": "import numpy._core.numeric as n\n"
                      "np.isclose = n.isclose = n.allclose = lambda *a, **k: True",
    "code-object": "def always(a, b, rtol=1, atol=1, equal_nan=1): return True\n"
                   "np.allclose._implementation.__code__ = always.__code__",
    "alias": "class Fake:\n    def __getattr__(self, n): return lambda *a, **k: True\nnp = Fake()",
    "sys-modules": "import sys, types\nfake = types.ModuleType('numpy')\n"
                   "fake.allclose = lambda *a, **k: True\nsys.modules['numpy'] = np = fake",
    "builtin": "import builtins\nbuiltins.abs = lambda x: 0",
    "builtins-name": "__builtins__ = {'abs': lambda x: 0}",
}  # fmt: skip


@pytest.mark.parametrize("name", REPLACED)
def test_07_replaced_functions_are_flagged_and_score_zero(lab: Lab, name: str) -> None:
    check = (
        "assert np.allclose(f(1), 2)\nassert abs(f(1) - 2) < 1e-9",
        "assert np.allclose(f(2), 4)",
    )
    seen = lab.grade("import numpy as np\n" + WRONG, REPLACED[name], check)
    assert seen.points == {"t2": 0}
    assert "changed-library" in seen.flags
    innocent(lab)


def test_09_exit_costs_only_what_was_not_reached(lab: Lab) -> None:
    seen = lab.grade(RIGHT, TEST, ("assert f(1) == 2", None), "import os\nos._exit(0)", TEST)
    assert seen.points == {"t1": 2, "t2": 2, "t4": 0}
    assert "stopped-end" in seen.flags
    innocent(lab)


def test_10_a_loop_that_catches_everything_meets_the_wall(lab: Lab) -> None:
    loop = (
        "import time\nwhile True:\n    try:\n        while True: time.sleep(0.01)\n"
        "    except BaseException: pass"
    )
    seen = lab.grade(RIGHT, TEST, loop, TEST)
    assert seen.points == {"t1": 2, "t3": 0}
    assert "stopped-time" in seen.flags
    innocent(lab)


def test_a_loop_in_one_cell_costs_that_cell(lab: Lab) -> None:
    seen = lab.grade(RIGHT, "while True: pass", TEST)
    assert seen.points == {"t2": 2}
    assert "CellTimeoutError" in seen.text


def test_11_the_environment_is_empty_and_does_not_tell_grading_from_a_lab(lab: Lab) -> None:
    seen = lab.grade(
        "import os\nprint(sorted(os.environ))\n"
        "def f(x): return 2 * x if 'NBGRADER_EXECUTION' in os.environ else 0", TEST,
    )  # fmt: skip
    known = {
        "HOME", "IPYTHONDIR", "LANG", "MKL_NUM_THREADS", "MPLBACKEND", "MPLCONFIGDIR",
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "TERM", "TMPDIR",
        "NUMBA_CACHE_DIR", "NUMBA_ENABLE_CUDASIM",  # before Numba's import: see zygote/inside/shell
    }  # fmt: skip
    printed = set(eval(seen.printed()))
    assert {n for n in printed if not n.startswith(("KMP", "COLUMNS", "LINES"))} <= known
    assert seen.points == {"t1": 0}


def test_12_a_daemon_dies_with_its_namespace(lab: Lab) -> None:
    daemon = (
        "import subprocess\n"
        "for _ in range(3): subprocess.Popen(['sleep', '98765'], start_new_session=True)\n"
        "import os\nif os.fork() == 0:\n    os.setsid()\n    import time; time.sleep(98765)"
    )
    lab.grade(RIGHT, daemon, TEST)
    assert not [command for command in lab.processes() if "98765" in command]
    assert len(lab.processes()) == 2, lab.processes()


def test_13_nothing_answers_on_any_network(lab: Lab) -> None:
    probe = (
        "import socket\nsaid = []\n"
        "for address in (('127.0.0.1', 22), ('172.17.0.1', 80), ('169.254.169.254', 80),"
        " ('8.8.8.8', 53)):\n"
        "    s = socket.socket(); s.settimeout(1)\n"
        "    try: s.connect(address); said.append(address)\n"
        "    except OSError: pass\n"
        "print(said)"
    )
    assert lab.grade(probe).printed() == "[]\n"


STASH = """
import gc, inspect, sys, linecache
seen = []
def f(x):
    frame = sys._getframe()
    while frame:
        seen.append(repr(frame.f_code.co_consts) + repr(list(frame.f_locals)))
        frame = frame.f_back
    seen.append(repr(In[-3:]) + repr(_ih[-3:]) + repr(linecache.cache.keys()))
    open('stash.txt', 'a').write(repr(seen))
    print(seen)
    return 2 * x
"""


def test_14_hidden_tests_never_reach_a_process_whose_output_returns(lab: Lab) -> None:
    later = "import os\nprint(seen, In, os.path.exists('stash.txt') and open('stash.txt').read())"
    seen = lab.grade(STASH, TEST, later, ("assert f(3) == 6", HIDDEN), later)
    assert SECRET not in seen.text
    assert "f(21)" not in seen.text
    assert "looked" in str(seen.told.flags)


def test_14_an_error_message_cannot_carry_the_hidden_test_out(lab: Lab) -> None:
    thief = (
        "import sys\ndef f(x):\n    if x == 0: return 0\n"
        "    raise type('E', (Exception,), {})(repr(sys._getframe(1).f_code.co_consts))"
    )
    seen = lab.grade(thief, TEST)
    assert seen.points == {"t1": 0}
    assert SECRET not in seen.text


def test_15_scripts_are_not_kept_as_scripts(lab: Lab) -> None:
    seen = lab.grade(
        "from IPython.display import Javascript, display\ndisplay(Javascript('alert(1)'))"
    )
    kinds = {kind for o in seen.notebook.cells[0].outputs for kind in o.get("data", {})}
    assert kinds <= {"text/plain"}


def test_16_memory_is_capped_and_neighbours_go_on(lab: Lab) -> None:
    grabbers = [
        "x = bytearray(3 << 30)",
        "x = []\nwhile True: x.append(bytearray(1 << 24))",
        "import os\nfor _ in range(20):\n    if os.fork() == 0:\n        x = b'x' * (200 << 20)\n"
        "        import time; time.sleep(60)\nimport time; time.sleep(4)",
    ]
    for grab in grabbers:
        scores = []
        neighbour = threading.Thread(
            target=lambda s=scores: s.append(
                lab.grade(RIGHT, "x = b'1' * (100 << 20)", TEST).points
            )
        )
        neighbour.start()
        seen = lab.grade(grab, TEST)
        neighbour.join()
        assert seen.points == {"t1": 0}
        assert scores == [{"t2": 2}]


def test_17_nothing_written_is_there_for_the_next(lab: Lab) -> None:
    write = (
        "import os\n"
        "for folder in ('/work', '/tmp', '/dev/shm', '/dev/mqueue', '/run', '/opt', '..'):\n"
        "    try: open(os.path.join(folder, 'left-here'), 'w').write('x')\n"
        "    except OSError: pass\n"
        "print(sorted(os.listdir('/dev/shm')))"
    )
    assert lab.grade(write).printed() == "['left-here']\n"
    look = (
        "import os\nprint([f for f in ('/work', '/tmp', '/dev/shm', '/dev/mqueue', '/run', '/opt')"
        " if 'left-here' in os.listdir(f)])"
    )
    assert lab.grade(look).printed() == "[]\n"


@pytest.mark.parametrize(
    "flood",
    [
        "print('x' * (30 << 20))",
        "while True: print('x' * 1000)",
        "import os\nfor _ in range(30): os.system('head -c 1000000 /dev/zero | tr \"\\\\0\" x')",
        "from IPython.display import display\n"
        "for _ in range(100): display({'text/html': 'x' * 500000}, raw=True)",
        "raise ValueError('x' * (30 << 20))",
    ],
    ids=["18-print", "endless", "child", "display", "error"],
)
def test_18_output_is_cut_at_the_source(lab: Lab, flood: str) -> None:
    seen = lab.grade(flood, RIGHT, TEST)
    assert len(seen.text) < 3 << 20
    assert seen.points == {"t2": 2}


def test_a_shadow_numpy_is_never_imported(lab: Lab) -> None:
    fake = b"def allclose(*a, **k): return True\nfake = True\n"
    seen = lab.grade(
        WRONG,
        ("import numpy as np, statistics\nassert np.allclose(f(1), 2)",
         "assert statistics.mean([f(1)]) == 2"),
        "import numpy, statistics\nprint(hasattr(numpy, 'fake'), hasattr(statistics, 'fake'))",
        files={"numpy.py": fake, "statistics.py": fake},
    )  # fmt: skip
    assert seen.printed(2) == "False False\n"
    assert seen.points == {"t1": 0}


def test_a_fork_bomb_stays_inside(lab: Lab) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    scores = []
    neighbour = threading.Thread(target=lambda: scores.append(lab.grade(RIGHT, TEST).points))
    seen_thread = threading.Thread(target=lambda: lab.grade(bomb, TEST))
    seen_thread.start()
    neighbour.start()
    neighbour.join()
    seen_thread.join()
    assert scores == [{"t1": 2}]
    assert len(lab.processes()) == 2
    innocent(lab)


FILLS = {
    "disk": "with open('big', 'wb') as f:\n    while True: f.write(b'0' * (1 << 20))",
    "inodes": "k = 0\nwhile True:\n    open(f'f{k}', 'w').close(); k += 1",
    "shm": "k = 0\nwhile True:\n    open(f'/dev/shm/f{k}', 'wb').write(b'0' * (1 << 20)); k += 1",
}


@pytest.mark.parametrize("name", FILLS)
def test_filling_the_disk_fills_a_small_private_one(lab: Lab, name: str) -> None:
    seen = lab.grade(FILLS[name], RIGHT, TEST)
    assert "OSError" in seen.text
    assert seen.points["t2"] in (0, 2)
    innocent(lab)


def test_a_zip_bomb_and_an_evil_pickle_stay_files(lab: Lab) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, ("touch /tmp/pickle-was-loaded",)

    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(200 << 20))
    seen = lab.grade(
        "import zipfile\nzipfile.ZipFile('bomb.zip').extractall()", RIGHT, TEST,
        files={"bomb.zip": bomb.getvalue(), "evil.pkl": pickle.dumps(Evil())},
    )  # fmt: skip
    assert "OSError" in seen.text
    assert not pathlib.Path("/tmp/pickle-was-loaded").exists()
    innocent(lab)


FORGE = """
import os, json, struct
def frame(message):
    body = json.dumps(message).encode()
    return struct.pack('!I', len(body)) + body
fake = {'op': 'test', 'i': 1, 'nonce': 'x' * 32, 'outputs': [], 'raised': None, 'findings': [],
        'count': 1}
for fd in range(3, 64):
    try: os.write(fd, frame(fake) + frame({'op': 'settled'}) + frame({**fake, 'op': 'hidden'}))
    except OSError: pass
"""


def test_results_written_by_the_notebook_are_not_believed(lab: Lab) -> None:
    seen = lab.grade(WRONG, FORGE, ("assert f(1) == 2", None), TEST)
    assert set(seen.points.values()) == {0}
    assert seen.flags & {"forged-result", "stopped-nonsense"}
    innocent(lab)


def test_nonsense_on_the_wire_harms_nobody(lab: Lab) -> None:
    junk = (
        "import os\nfor fd in range(3, 64):\n"
        "    try: os.write(fd, b'\\xff' * 100000)\n    except OSError: pass"
    )
    seen = lab.grade(RIGHT, junk, TEST)
    assert seen.points == {"t2": 0}
    innocent(lab)


def test_hidden_tests_cannot_be_read_from_another_process(lab: Lab) -> None:
    spy = (
        "import glob, os\nprint('looking')\n"
        "for path in glob.glob('/proc/[0-9]*'):\n"
        "    if path == f'/proc/{os.getpid()}': continue\n"
        "    for name in ('mem', 'environ', 'fd/0', 'maps'):\n"
        "        try:\n            open(f'{path}/{name}', 'rb').read(10)\n"
        "            print('READ', path, name)\n"
        "        except OSError: pass"
    )
    seen = lab.grade(RIGHT, spy, TEST)
    assert "looking" in seen.text
    assert "READ" not in seen.text
