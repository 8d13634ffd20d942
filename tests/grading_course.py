"""A small course and submissions to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nbgrader
from nbformat import v4

DOCUMENTATION = Path(nbgrader.__file__).parent / "docs" / "source" / "user_guide"
"""nbgrader's own example course, as installed."""

COURSE = """\
id = "c1"
hours = 1
image = "lab-cpu"
title = {en = "Course", ko = "과정"}
summary = {en = "For tests", ko = "시험용"}

[[labs]]
id = "work"
title = {en = "Work", ko = "작업"}
minutes = {cpu = 10, gpu = 10}
assignment = "sums"

[[assignments]]
id = "sums"
title = {en = "Sums", ko = "합"}
packages = ["numpy"]
late = {percent_per_day = 10, grace_minutes = 5}
[[assignments.rubric]]
cell = "test-double"
criteria = [
  {points = 3, text = {en = "Doubles", ko = "두 배"}},
  {points = 2, text = {en = "Explains", ko = "설명"}},
]

[[assignments]]
id = "ps1"
title = {en = "Problem set", ko = "문제"}
"""

SOLUTION = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
TEST = (
    "assert double(1) == 2\n### BEGIN HIDDEN TESTS\nassert double(21) == 42, 'the-secret'\n"
    "### END HIDDEN TESTS"
)
PARTIAL = "import numpy as np\n1.5 if np.allclose(double(np.ones(2)), 2.0) else 0.0"


def write_course(folder: Path) -> None:
    """Assignment `sums` of our own, and nbgrader's `ps1`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "course.toml").write_text(COURSE)
    sums = folder / "assignments" / "sums"
    sums.mkdir(parents=True, exist_ok=True)
    (sums / "sums.ipynb").write_text(json.dumps(source_notebook()))
    shutil.copytree(
        DOCUMENTATION / "source" / "ps1", folder / "assignments" / "ps1", dirs_exist_ok=True
    )


def _role(cell: Any, grade_id: str, grade: bool, solution: bool, points: float = 0) -> Any:
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade": grade,
        "solution": solution,
        "locked": grade,
        "task": False,
        "grade_id": grade_id,
        **({"points": points} if grade else {}),
    }
    return cell


def source_notebook() -> Any:
    """The instructor's notebook."""
    notebook = v4.new_notebook()
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    notebook.cells = [
        v4.new_code_cell("import numpy as np", id="imports"),
        _role(v4.new_code_cell(SOLUTION, id="double"), "double", False, True),
        _role(v4.new_code_cell(TEST, id="t1"), "test-double", True, False, 2),
        _role(v4.new_code_cell(PARTIAL, id="t2"), "test-array", True, False, 3),
    ]
    return notebook


def answered(released: bytes, solution: str, *more: str) -> bytes:
    """A released notebook with the solution filled in and cells `more` before the tests."""
    notebook = json.loads(released)
    at = next(i for i, c in enumerate(notebook["cells"]) if c.get("id") == "double")
    notebook["cells"][at]["source"] = solution
    for number, source in enumerate(more):
        cell = v4.new_code_cell(source, id=f"more{number}")
        notebook["cells"].insert(at + 1 + number, cell)
    return json.dumps(notebook).encode()
