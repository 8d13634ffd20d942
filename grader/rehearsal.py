"""Runs a course's own notebooks in the sandbox that runs learners' work.

An assignment is rehearsed twice: its solution must earn all points that tests give, the version
that learners receive must run nowhere near a point. A lab must run from top to bottom.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from core.course import Assignment, Course
from grader import material, translate
from grader.protocol import Cell, Outcome
from grader.runner import Sandbox, Task
from grader.zygote.sandbox import modules


@dataclass(frozen=True)
class Run:
    """How one notebook ran. `points` and `possible` count automatic tests only."""

    file: Path
    seconds: float
    points: float
    possible: float
    errors: list[str]
    """One sentence for each cell that raised or each test that did not give its points."""


def lab(course: Course, file: Path, sandbox: Sandbox) -> Run:
    """Run an ungraded notebook with its solutions. Raises SandboxError, CourseError."""
    notebook = material.read_notebook(file)
    cells = [Cell(index=i, source=cell["source"]) for i, cell in _code(notebook)]
    packages = sorted({p for a in course.assignments for p in a.packages} | {*_imports(notebook)})
    outcome, seconds = _timed(sandbox, Task(cells, _files(file.parent), packages))
    return Run(file, seconds, 0, 0, _raised(notebook, outcome))


def solution(item: Assignment, file: Path, sandbox: Sandbox) -> Run:
    """Run an assignment's notebook with its solutions. Raises SandboxError, CourseError."""
    notebook = material.read_notebook(file)
    return _graded(notebook, notebook, item, file, sandbox)


def unsolved(item: Assignment, file: Path, sandbox: Sandbox) -> Run:
    """Run an assignment's notebook as learners receive it. Raises SandboxError, CourseError."""
    notebook = material.read_notebook(file)
    return _graded(released(notebook), notebook, item, file, sandbox)


def released(notebook: translate.Notebook) -> translate.Notebook:
    """The notebook without solutions and hidden tests."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions  # late: takes seconds

    result = copy.deepcopy(notebook)
    for step in (ClearSolutions(), ClearHiddenTests()):
        result = step.preprocess(result, {})[0]
    return result


def _graded(
    work: translate.Notebook,
    source: translate.Notebook,
    item: Assignment,
    file: Path,
    sandbox: Sandbox,
) -> Run:
    shown = released(source)
    visible = shown["cells"]
    cells = []
    for i, cell in _code(work):
        is_test = _is_test(cell)
        cells.append(
            Cell(
                index=i,
                source=visible[i]["source"] if is_test else cell["source"],
                test=source["cells"][i]["source"] if is_test else None,
            )
        )
    packages = sorted({*item.packages, *_imports(shown)})
    outcome, seconds = _timed(sandbox, Task(cells, _files(file.parent), packages))
    points, possible, errors = (
        0.0,
        0.0,
        [f"ended early: {outcome.reason}"] if outcome.reason else [],
    )
    for i, cell in _code(source):
        if not _is_test(cell):
            continue
        most = float(cell["metadata"]["nbgrader"]["points"])
        earned, reason = _earned(outcome, i, most)
        points, possible = points + earned, possible + most
        if earned < most:
            name = cell["metadata"]["nbgrader"]["grade_id"]
            errors.append(f"{name}: {earned:g} of {most:g} points: {reason}")
    return Run(file, seconds, points, possible, errors)


def _imports(notebook: translate.Notebook) -> list[str]:
    return modules(nbformat.from_dict(notebook))


def _earned(outcome: Outcome, index: int, most: float) -> tuple[float, str]:
    test = outcome.tests.get(index)
    if test is None:
        return 0.0, "did not run"
    if test.outcome != "pass" or test.stderr:
        return 0.0, test.error or ("wrote to stderr" if test.stderr else test.outcome)
    try:
        return min(max(float(test.value), 0.0), most) if test.value else most, "partial credit"
    except ValueError:
        return most, ""


def _raised(notebook: translate.Notebook, outcome: Outcome) -> list[str]:
    found = _ended(outcome)
    for i, _cell in _code(notebook):
        for output in outcome.cells[i].outputs if i in outcome.cells else []:
            if output.output_type == "error":
                found.append(f"cell {i + 1}: {output.ename}: {output.evalue[:200]}")
    return found


def _ended(outcome: Outcome) -> list[str]:
    return [f"ended early: {outcome.reason}"] if outcome.reason else []


def _code(notebook: translate.Notebook) -> list[tuple[int, dict[str, Any]]]:
    return [(i, c) for i, c in enumerate(notebook["cells"]) if c["cell_type"] == "code"]


def _is_test(cell: dict[str, Any]) -> bool:
    meta = cell["metadata"].get("nbgrader", {})
    return bool(meta.get("grade") and not meta.get("solution"))


def _files(folder: Path) -> dict[str, bytes]:
    """The files beside a notebook that its cells may read."""
    found = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix != ".ipynb")
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in found}


def _timed(sandbox: Sandbox, task: Task) -> tuple[Outcome, float]:
    start = time.monotonic()
    return sandbox.run(task), time.monotonic() - start
