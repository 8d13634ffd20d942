"""Grade a class of honest submissions with plain nbgrader and with the zygote; compare both.

    ./dli bench grade --n 300 --profile numpy|sklearn|torch

Plain nbgrader (`nbgrader autograde`, in a container of the same image, with 2 CPUs) is run
on one submission and on a sample; its time for the whole class is its start-up once plus the
class's size times what one more submission took. Our side is run on the whole class: sanitise,
execute isolated, score, write the gradebook, keep rich outputs; starting the grading container and
importing the packages are counted. Every cell's score of the sample is compared. The last line is
one JSON object.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment

from core.settings import Settings, load
from grader.autograde import Entry, Graded
from grader.classwork import PARALLEL
from grader.gradebook import CourseBook
from grader.zygote.batch import ClassRun
from grader.zygote.sandbox import ZygoteSandbox, modules

ASSIGNMENT = "a1"
Work = dict[str, dict[str, bytes]]
"""Files by student."""
RECEIVED = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

IMPORTS = {
    "numpy": "import numpy as np\nfrom IPython.display import HTML, display",
    "sklearn": (
        "import numpy as np\nfrom sklearn.datasets import make_classification\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.model_selection import train_test_split\n"
        "from IPython.display import HTML, display"
    ),
    "torch": "import numpy as np\nimport torch\nfrom torch import nn\n"
             "from IPython.display import HTML, display",
}  # fmt: skip

SHOW = """\
rows = "".join(f"<tr><td>{k}</td><td>{square(k)}</td></tr>" for k in range(5))
display(HTML(f"<table>{rows}</table>"))
"""

MODEL = {
    "numpy": (
        "def model():\n    x = np.linspace(0, 1, 50)\n    return np.polyfit(x, 3 * x + 1, 1)",
        "w = model()\nassert w.shape == (2,)\n### BEGIN HIDDEN TESTS\n"
        "assert np.allclose(w, [3, 1])\n### END HIDDEN TESTS",
    ),
    "sklearn": (
        "def model():\n    x, y = make_classification(300, random_state=0)\n"
        "    a, b, c, d = train_test_split(x, y, random_state=0)\n"
        "    return LogisticRegression().fit(a, c).score(b, d)",
        "w = model()\nassert 0 <= w <= 1\n### BEGIN HIDDEN TESTS\nassert w > 0.8\n"
        "### END HIDDEN TESTS",
    ),
    "torch": (
        "def model():\n    torch.manual_seed(0)\n    net = nn.Linear(2, 1)\n"
        "    opt = torch.optim.SGD(net.parameters(), lr=0.1)\n    x = torch.randn(128, 2)\n"
        "    y = x.sum(1, keepdim=True)\n    for _ in range(60):\n"
        "        loss = nn.functional.mse_loss(net(x), y)\n        opt.zero_grad()\n"
        "        loss.backward()\n        opt.step()\n    return loss.item()",
        "w = model()\nassert w >= 0\n### BEGIN HIDDEN TESTS\nassert w < 0.05\n### END HIDDEN TESTS",
    ),
}
ANSWERS = {
    "square": ["def square(x):\n    return x ** 2"] * 7
    + ["def square(x):\n    return x * 2", "def square(x):\n    return x +",
       "def square(x):\n    pass"],
    "mean": ["def mean(xs):\n    return sum(xs) / len(xs)"] * 6
    + ["def mean(xs):\n    return sum(xs)", "def mean(xs):\n    raise NotImplementedError()",
       "def mean(xs):\n    return float(np.mean(xs))", "print('later')"],
}  # fmt: skip


def cell(source: str, name: str = "", **role: Any) -> Any:
    """A code cell, with nbgrader's metadata when it has a name."""
    made = new_code_cell(source)
    if name:
        made.metadata["nbgrader"] = {
            "grade_id": name, "schema_version": 3, "task": False, "grade": False,
            "solution": False, "locked": False, "cell_type": "code", **role,
        }  # fmt: skip
    return made


def source_notebook(profile: str) -> Any:
    """The instructor's notebook: three exercises, visible and hidden tests, partial credit."""

    def test(source: str, name: str) -> Any:
        return cell(source, name, grade=True, locked=True, points=2)

    def solution(source: str, name: str) -> Any:
        return cell(f"### BEGIN SOLUTION\n{source}\n### END SOLUTION", name, solution=True)

    model, model_test = MODEL[profile]
    made = new_notebook(cells=[
        new_markdown_cell(f"# {profile}"),
        cell(IMPORTS[profile]),
        solution(ANSWERS["square"][0], "square"),
        cell(SHOW),
        test("assert square(3) == 9\nassert square(-2) == 4", "test-square"),
        solution(ANSWERS["mean"][0], "mean"),
        test("assert mean([1, 2, 3]) == 2\n### BEGIN HIDDEN TESTS\nassert mean([4]) == 4\n"
             "### END HIDDEN TESTS", "test-mean"),
        test("float(mean([2, 4]) == 3) + 0.5", "test-partial"),
        solution(model, "model"),
        test(model_test, "test-model"),
    ])  # fmt: skip
    made.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python"
    }  # fmt: skip
    made.metadata["language_info"] = {"name": "python"}
    return made


def submission(released: Any, profile: str, number: int) -> bytes:
    """Learner `number`'s work: most of it right, the rest wrong in everyday ways."""
    notebook = nbformat.from_dict(released)
    answers = {
        "square": ANSWERS["square"][number % 10],
        "mean": ANSWERS["mean"][(number // 3) % 10],
        "model": MODEL[profile][0] if number % 5 else "def model():\n    return None",
    }
    for one in notebook.cells:
        name = one.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            one.source = answers[name]
    return bytes(nbformat.writes(notebook).encode())


def publish(book: CourseBook, profile: str) -> Any:
    """Write the source notebook, let nbgrader generate the release; the released notebook."""
    folder = book.path("source", ".", ASSIGNMENT)
    folder.mkdir(parents=True)
    nbformat.write(source_notebook(profile), folder / "nb.ipynb")
    with Gradebook(book.database, book.course) as gradebook:
        gradebook.update_or_create_assignment(ASSIGNMENT)
    GenerateAssignment(coursedir=book.directory(ASSIGNMENT)).start()
    return nbformat.read(book.path("release", ".", ASSIGNMENT) / "nb.ipynb", as_version=4)


def scores(
    book: CourseBook, students: list[str], assignment: str = ASSIGNMENT
) -> dict[str, dict[str, float | None]]:
    """Automatic score of every grade cell by student."""
    found: dict[str, dict[str, float | None]] = {}
    with Gradebook(book.database, book.course) as gradebook:
        for student in students:
            made = gradebook.find_submission(assignment, student)
            found[student] = {
                f"{nb.name}/{g.name}": g.auto_score for nb in made.notebooks for g in nb.grades
            }
    return found


def plain(
    settings: Settings, book: CourseBook, assignment: str = ASSIGNMENT
) -> tuple[float, float]:
    """Seconds (wall, CPU) of `nbgrader autograde` for the submissions that lie in the folder."""
    folder = book.folder
    code = (
        "import os,time,subprocess,sys; t=time.monotonic(); r=subprocess.run([sys.executable,'-m',"
        f"'nbgrader','autograde','{assignment}','--course-dir=/course','--force']).returncode; "
        "print('SECONDS',time.monotonic()-t,r,sum(os.times()[2:4]))"
    )
    client = docker.from_env(timeout=3600)
    said = client.containers.run(
        settings.labs.sandbox_image, ["-c", code], entrypoint="python3", user="0:0",
        network_mode="none", nano_cpus=2_000_000_000, remove=True, stderr=True,
        volumes={str(folder): {"bind": "/course", "mode": "rw"}}, working_dir="/course",
        name=f"{settings.instance}-bench-nbgrader-{os.getpid()}", environment={"HOME": "/tmp"},
        labels={"dli.instance": settings.instance},
    ).decode()  # fmt: skip
    last = said.strip().splitlines()[-1].split()
    if last[0] != "SECONDS" or last[2] != "0":
        raise SystemExit(f"plain nbgrader failed:\n{said[-3000:]}")
    return float(last[1]), float(last[3])


def put(book: CourseBook, work: Work, assignment: str = ASSIGNMENT) -> None:
    """Submissions as nbgrader collects them."""
    for student, files in work.items():
        folder = book.path("submitted", student, assignment)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / "timestamp.txt").write_text("2026-01-05 09:00:00 UTC")


def ours(
    settings: Settings, book: CourseBook, work: Work, packages: list[str], parallel: int,
    say: Callable[[str], None] = lambda _line: None,
) -> tuple[float, dict[str, float]]:  # fmt: skip
    """Seconds for all of `work`, and by phase."""
    begun, cpu = time.monotonic(), _cpu()
    with ZygoteSandbox(settings, parallel) as sandbox, book.lock():
        zygote = sandbox.zygote(tuple(packages))
        zygote.start()
        started = time.monotonic()
        run = ClassRun(book, sandbox, packages, parallel=parallel)
        entries = ((Entry(s, ASSIGNMENT, RECEIVED), files) for s, files in work.items())
        for number, (entry, graded) in enumerate(run.grade(entries), 1):
            if number % 50 == 0:
                say(f"ours: {number} of {len(work)} after {time.monotonic() - begun:.0f} s")
            if not isinstance(graded, Graded):
                raise SystemExit(f"{entry.student}: {graded!r}")
            if graded.flags:
                raise SystemExit(f"{entry.student} was flagged: {graded.flags}")
        graded_at = time.monotonic()
        spent = zygote.cpu_seconds()
        begun += time.monotonic() - graded_at  # asking takes Docker a second
        inside = {key: sum(t.get(key, 0.0) for t in sandbox.timings)
                  for key in ("wait", "fork", "start", "execute")}  # fmt: skip
        phases = {
            "container": zygote.timings["container"], "import": zygote.timings["import"],
            "sanitise": run.phases.sanitise, "score_and_write": run.phases.score,
            "waiting_for_sandbox": run.phases.waiting,
        }  # fmt: skip
        phases |= {f"in_sandbox_{key}": value for key, value in inside.items()}
        phases |= {"grading": graded_at - started, "host_cpu": _cpu() - cpu}
        phases["sandbox_cpu"] = spent
    return time.monotonic() - begun, {k: round(v, 2) for k, v in phases.items()}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


Say = Callable[[str], None]


def main(
    say: Say, n: int = 300, profile: str = "numpy", sample: int = 30, parallel: int = PARALLEL
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Grade `n` submissions with ours and `sample` of them with nbgrader; rows and figures.

    `parallel` notebooks run at once with ours. Raises ValueError for an unknown profile.
    """
    if profile not in MODEL or n < 2 or parallel < 1:
        raise ValueError(f"profile must be one of {', '.join(sorted(MODEL))}, n at least 2")
    warnings.simplefilter("ignore")  # of SQLAlchemy, about nbgrader's order of adding rows
    settings = load()
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder:
        return _compared(say, settings, Path(folder), (n, min(sample, n), profile, parallel))


def _compared(
    say: Say, settings: Settings, folder: Path, asked: tuple[int, int, str, int]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    n, count, profile, parallel = asked
    book = CourseBook.of(folder, "bench")
    released = publish(book, profile)
    packages = sorted({*modules(released), "IPython.display"})
    work = {f"s{k:04d}": {"nb.ipynb": submission(released, profile, k)} for k in range(n)}
    sample = list(work)[:count]
    sampled, single = (CourseBook(folder / name, "bench") for name in ("sample", "one"))
    for other, names in ((sampled, sample), (single, sample[:1])):
        shutil.copytree(book.folder, other.folder)
        put(other, {s: work[s] for s in names})
    mine, phases = ours(settings, book, work, packages, parallel, say)
    say(f"ours: {n} submissions in {mine:.1f} s {phases}")
    say("nbgrader: 1 submission, for its start-up")
    one, one_cpu = plain(settings, single)
    say(f"nbgrader: {count} submissions")
    many, many_cpu = plain(settings, sampled)
    each, each_cpu = ((b - a) / (count - 1) for a, b in ((one, many), (one_cpu, many_cpu)))
    whole = one + each * (n - 1)
    say(
        f"nbgrader: 1 submission {one:.1f} s, {count} in {many:.1f} s; for {n} that makes "
        f"{whole:.0f} s, its start-up counted once"
    )
    own_cpu = (phases["host_cpu"] + phases["sandbox_cpu"]) / n
    rows = [
        {"": "ours", "submissions run": n, "seconds for all": mine,
         "CPU s each": own_cpu},
        {"": "nbgrader", "submissions run": count, "seconds for all": whole,
         "CPU s each": each_cpu},
    ]  # fmt: skip
    return rows, {
        "n": n, "profile": profile, "ratio": round(whole / mine, 1),
        "cpu_ratio": round(each_cpu / own_cpu, 1),
        "equal_scores": scores(book, sample) == scores(sampled, sample), "phases": phases,
    }  # fmt: skip
