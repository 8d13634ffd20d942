"""Every shipped course in the real sandbox: solutions earn everything, empty work nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from core.course import Course, load
from core.settings import ROOT, Labs, Settings
from grader import rehearsal
from grader.zygote.sandbox import ZygoteSandbox

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

COURSES = [
    load(file.parent, Labs().images) for file in sorted((ROOT / "courses").glob("*/course.toml"))
]
LABS = [
    (course, file)
    for course in COURSES
    for lab in course.labs
    if lab.assignment is None
    for file in course.notebooks("labs", lab.id)
]
ASSIGNMENTS = [
    (course, item.id, file)
    for course in COURSES
    for item in course.assignments
    for file in course.notebooks("assignments", item.id)
]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZygoteSandbox]:
    state = tmp_path_factory.mktemp("state")
    instance = f"course-test-{os.getpid()}"
    with ZygoteSandbox(Settings(instance=instance, state_dir=state)) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("course", "item", "file"), ASSIGNMENTS, ids=[f"{c.id}-{i}" for c, i, _ in ASSIGNMENTS]
)
def test_the_solution_earns_all_and_the_unsolved_nothing(
    course: Course, item: str, file: Path, sandbox: ZygoteSandbox
) -> None:
    assignment = course.assignment(item)
    assert assignment is not None
    full = rehearsal.solution(assignment, file, sandbox)
    assert (full.errors, full.points) == ([], full.possible)
    assert full.possible > 0
    none = rehearsal.unsolved(assignment, file, sandbox)
    assert none.points == 0
    assert none.possible == full.possible


@pytest.mark.parametrize(("course", "file"), LABS, ids=[file.stem for _, file in LABS])
def test_a_lab_runs_from_top_to_bottom(course: Course, file: Path, sandbox: ZygoteSandbox) -> None:
    assert rehearsal.lab(course, file, sandbox).errors == []


def test_a_tiled_kernel_without_its_tile_earns_the_result_but_not_the_reads(
    tmp_path: Path, sandbox: ZygoteSandbox
) -> None:
    course = load(ROOT / "courses/accelerated-python", Labs().images)
    assignment, (file,) = course.assignment("heat"), course.notebooks("assignments", "heat")
    assert assignment is not None
    notebook = nbformat.read(file, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    cells["heat-step-tiled"].source = cells["heat-step"].source.replace(
        "def heat_step(", "def heat_step_tiled("
    )
    nbformat.write(notebook, tmp_path / file.name)
    run = rehearsal.solution(assignment, tmp_path / file.name, sandbox)
    # Part 3 gives 4 points for the result; 4.06 reads per point of the plate leave 0.6 of 2.
    assert run.possible - 2 <= run.points <= run.possible - 1
    assert [error.split(":")[0] for error in run.errors] == ["tiled-reads"]
