"""Attacks on grading, run against the real sandbox; each asserts the safe outcome.

Numbers are those of the list of attacks on plain nbgrader in docs/reference/security.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from grader.outcomes import judged
from grader.protocol import Cell, Outcome
from grader.runner import ContainerSandbox, Task
from tests.grading import make_settings
from tests.sandbox import leftovers, sandbox

pytestmark = pytest.mark.docker

TEST = "assert answer() == 42\n"
HIDDEN = TEST + "assert answer() * 2 == 84, 'the-hidden-test'\n"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerSandbox]:
    settings = make_settings(
        tmp_path_factory.mktemp("sandbox"), wall_seconds=10, output_mb=1, memory_mb=512, pids=64
    )
    yield sandbox(settings)
    assert leftovers(settings) == []


def run(
    box: ContainerSandbox, *sources: str, packages: tuple[str, ...] = (), **files: bytes
) -> Outcome:
    """Run learner's cells `sources`, then one test cell with a hidden part, then one more cell."""
    cells = [Cell(index=i, source=source) for i, source in enumerate(sources)]
    cells.append(Cell(index=100, source=TEST, test=HIDDEN))
    cells.append(Cell(index=101, source="print(In[-2], globals().get('leak'))"))
    return box.run(Task(cells, files, list(packages)))


def said(outcome: Outcome) -> str:
    """Everything that a learner could ever see of it."""
    return "\n".join(cell.model_dump_json() for cell in outcome.cells.values())


def counts(outcome: Outcome, index: int = 100) -> str:
    """The outcome that the score comes from."""
    return judged(outcome.tests[index], 1.0)[0]


def test_honest_work_passes(box: ContainerSandbox) -> None:
    outcome = run(box, "def answer():\n    return 42")
    assert counts(outcome) == "pass"
    assert outcome.tests[100].changed == []
    assert "the-hidden-test" not in said(outcome)


def test_1_2_3_4_17_nothing_of_others_is_in_reach(box: ContainerSandbox) -> None:
    """No hidden test, solution, gradebook or other submission on any disk."""
    outcome = run(
        box,
        "import os\n"
        "hits = []\n"
        "for top in ('/work', '/home', '/srv', '/var', '/tmp', '/opt/dli', '/mnt', '/root'):\n"
        "    for root, _, names in os.walk(top):\n"
        "        hits += [os.path.join(root, n) for n in names]\n"
        "print([h for h in hits if h.endswith(('.ipynb', '.db', '.sqlite', '.sock'))])\n"
        "print([h for h in hits if h.startswith('/work')])",
        "answer = lambda: 41",
        notes=b"mine",
    )
    text = said(outcome)
    assert "[]" in text
    assert "/notes" in text
    assert "the-hidden-test" not in text
    assert counts(outcome) == "fail"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "5 input transformer that empties tests",
            "get_ipython().input_transformers_post.append(lambda lines: ['pass\\n'])",
        ),
        (
            "6 AST transformer that strips asserts",
            "import ast\n"
            "class Strip(ast.NodeTransformer):\n"
            "    def visit_Assert(self, node):\n"
            "        return ast.Pass()\n"
            "get_ipython().ast_transformers.append(Strip())",
        ),
        ("8 set_custom_exc", "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)"),
        (
            "builtins exec and compile",
            "import builtins\nbuiltins.exec = builtins.compile = builtins.eval = lambda *a, **k: 0",
        ),
        (
            "AssertionError",
            "import builtins\nbuiltins.AssertionError = type('E', (Exception,), {})",
        ),
    ],
)
def test_disarmed_tests_still_fail(box: ContainerSandbox, name: str, source: str) -> None:
    outcome = run(box, "answer = lambda: 41", source)
    assert counts(outcome) != "pass", name


def test_5_6_are_flagged(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "answer = lambda: 42",
        "get_ipython().input_transformers_post.append(lambda lines: lines)\n"
        "get_ipython().ast_transformers.append(__import__('ast').NodeTransformer())",
    )
    assert sorted(outcome.tests[100].changed) == [
        "IPython.ast_transformers",
        "IPython.input_transformers_post",
    ]


def test_7_a_changed_library_gives_nothing_and_is_flagged(box: ContainerSandbox) -> None:
    cells = [
        Cell(index=0, source="import numpy as np\nnp.allclose = lambda *a, **k: True"),
        Cell(index=1, source="", test="import numpy as np\nassert np.allclose(1, 2)"),
    ]
    outcome = box.run(Task(cells, {}, ["numpy"]))
    assert outcome.tests[1].changed == ["numpy.allclose"]
    assert counts(outcome, 1) == "changed-library"


def test_9_ending_the_process(box: ContainerSandbox) -> None:
    outcome = run(box, "import os\nos._exit(0)", "answer = lambda: 42")
    assert outcome.reason == "end"
    assert counts(outcome) == "not-reached"


def test_killing_the_keeper_costs_only_oneself(box: ContainerSandbox) -> None:
    from grader.protocol import SandboxError

    with pytest.raises(SandboxError):
        run(box, "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")


def test_10_endless_loop_that_catches_everything(box: ContainerSandbox) -> None:
    began = time.monotonic()
    outcome = run(
        box,
        "answer = lambda: 42",
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    )
    assert outcome.reason == "time"
    assert counts(outcome) == "not-reached"
    assert time.monotonic() - began < 60


def test_10_an_ordinary_endless_loop_leaves_time_for_the_rest(box: ContainerSandbox) -> None:
    outcome = run(box, "answer = lambda: 42", "while True: pass")
    assert outcome.reason == ""
    assert counts(outcome) == "pass"
    assert "CellTimeoutError" in said(outcome)


def test_11_13_no_secrets_and_no_network(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "import os\nprint(sorted(os.environ))\n"
        "print('net', os.listdir('/sys/class/net'))\n"
        "import socket\n"
        "for address in (('1.1.1.1', 53), ('172.17.0.1', 80), ('127.0.0.1', 8081)):\n"
        "    try:\n        socket.create_connection(address, 1); print('CONNECTED')\n"
        "    except OSError as error: print('refused', error)",
        "print('uid', os.getuid()); print(open('/proc/self/status').read())",
    )
    text = said(outcome)
    assert "CONNECTED" not in text
    assert "TOKEN" not in text
    assert "DLI_" not in text
    assert "net ['lo']" in text
    assert "uid 1000" in text
    assert "CapEff:\\t0000000000000000" in text
    assert "NoNewPrivs:\\t1" in text


def test_12_daemons_die(box: ContainerSandbox) -> None:
    run(
        box,
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n"
        "    os._exit(0)",
    )
    assert leftovers(box._settings) == []


def test_14_the_source_of_a_hidden_test_never_comes_back(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "import inspect, os, sys\n"
        "def answer():\n"
        "    frame = sys._getframe(1)\n"
        "    text = repr((frame.f_code.co_consts, In[-1], list(frame.f_globals)))\n"
        "    print(text)\n"
        "    open('/tmp/leak', 'a').write(text)\n"
        "    os.write(1, text.encode()); os.write(2, text.encode())\n"
        "    globals()['leak'] = text\n"
        "    raise RuntimeError(text)",
        "print(os.path.exists('/tmp/leak') and open('/tmp/leak').read())",
    )
    assert "the-hidden-test" not in said(outcome)
    assert counts(outcome) == "fail"


def test_hidden_tests_cannot_be_read_from_another_process(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "import os, glob\n"
        "for path in glob.glob('/proc/[0-9]*'):\n"
        "    for name in ('mem', 'environ', 'fd/0', 'maps'):\n"
        "        if path.endswith(f'/{os.getpid()}'): continue\n"
        "        try:\n            open(f'{path}/{name}', 'rb').read(10)\n"
        "            print('READ', path, name)\n"
        "        except OSError: pass",
    )
    assert "READ" not in said(outcome)


def test_15_only_known_kinds_of_output(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "from IPython.display import Javascript, display\ndisplay(Javascript('alert(1)'))\n"
        "display({'text/plain': 'x', 'application/x-evil': '<script>'}, raw=True)",
    )
    assert "javascript" not in said(outcome)
    assert "x-evil" not in said(outcome)


def test_16_memory_is_capped(box: ContainerSandbox) -> None:
    outcome = run(box, "x = b'1' * (3 * 1024 ** 3)")
    assert outcome.reason == "end"
    assert counts(outcome) == "not-reached"


@pytest.mark.parametrize(
    "source",
    [
        "print('x' * 30_000_000)",
        "for _ in range(300_000): print('y' * 100)",
        "import os\nos.system('yes | head -c 100000000')",
        "1 / 0 if False else None\nraise ValueError('z' * 30_000_000)",
    ],
)
def test_18_output_is_capped_at_the_source(box: ContainerSandbox, source: str) -> None:
    outcome = run(box, "answer = lambda: 42", source)
    assert len(said(outcome)) < 4_000_000


def test_fork_bomb_and_full_disk(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "import os\n"
        "try:\n"
        "    with open('big', 'wb') as f:\n"
        "        for _ in range(2000): f.write(b'0' * 1_000_000)\n"
        "except OSError as error: print('stopped', error.errno)",
        "n = 0\n"
        "try:\n"
        "    for n in range(100_000): open(f'/tmp/{n}', 'w').close()\n"
        "except OSError: print('inodes', n)",
        "children = 0\n"
        "try:\n"
        "    while children < 5000:\n"
        "        if os.fork() == 0:\n            import time; time.sleep(60); os._exit(0)\n"
        "        children += 1\n"
        "except OSError: print('forks', children)",
    )
    text = said(outcome)
    assert "stopped" in text
    assert "inodes" in text
    assert "forks" in text


def test_a_shadow_module_does_not_win(box: ContainerSandbox) -> None:
    cells = [
        Cell(index=0, source="import numpy as np, helper\nprint(np.__file__, helper.VALUE)"),
        Cell(index=1, source="", test="import numpy as np\nassert np.allclose(1, 2)"),
    ]
    files = {"numpy.py": b"allclose = lambda *a: True", "helper.py": b"VALUE = 'mine'"}
    outcome = box.run(Task(cells, files, ["numpy"]))
    assert counts(outcome, 1) == "fail"
    assert "site-packages/numpy" in said(outcome)
    assert "mine" in said(outcome)


def test_an_answer_that_was_made_up(box: ContainerSandbox) -> None:
    """The channel of a test is open in the learner's process: what it says counts for nothing."""
    outcome = run(
        box,
        "answer = lambda: 41",
        "import json, os, stat\n"
        "message = json.dumps({'outcome': 'pass', 'nonce': '0' * 32, 'canary': True,\n"
        "    'stderr': False, 'changed': []}).encode()\n"
        "for fd in range(3, 50):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
        "            os.write(fd, len(message).to_bytes(4, 'big') + message)\n"
        "    except OSError: pass",
    )
    assert counts(outcome) == "forged"


def test_nonsense_on_the_result_pipe(box: ContainerSandbox) -> None:
    outcome = run(
        box,
        "import os, stat\n"
        "for fd in range(3, 50):\n"
        "    try:\n"
        "        if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, b'\\0\\0\\0\\5hello')\n"
        "    except OSError: pass",
    )
    assert outcome.reason in ("nonsense", "too much")
    assert counts(outcome) == "not-reached"


def test_nothing_tells_that_this_is_grading(box: ContainerSandbox) -> None:
    outcome = run(box, "import os\nprint(os.environ.get('NBGRADER_EXECUTION'))")
    assert "None" in said(outcome)
