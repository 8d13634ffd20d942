"""`./dli course check` finds what an author gets wrong, and says where and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.course import app
from core.course import Course, load
from core.settings import ROOT, Labs
from grader.course_checks import Problem, problems
from tests.unit.course.conftest import IMAGES

Edit = Callable[[str, str, str], None]
LAB = "labs/01-first-lab/first-lab.ipynb"
TASK = "assignments/first-assignment/first-assignment.ipynb"


def _errors(course: Course) -> list[str]:
    return [str(problem) for problem in problems(course) if problem.weight == "error"]


def _cell(folder: Path, grade_id: str, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / TASK
    notebook = json.loads(file.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id:
            change(cell)
    file.write_text(json.dumps(notebook))


def test_a_new_course_and_every_shipped_one_are_sound(course: Course) -> None:
    assert problems(course) == []
    for file in (ROOT / "courses").glob("*/course.toml"):
        assert [str(p) for p in problems(load(file.parent, Labs().images))] == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (TASK, "### END SOLUTION", "### END SOLUTON", "BEGIN SOLUTION without END SOLUTION"),
        (TASK, "### BEGIN SOLUTION", "### Begin solution", "unknown mark '### Begin solution'"),
        (TASK, "BEGIN HIDDEN TESTS", "BEGIN HIDDEN TEST", "known: BEGIN SOLUTION, BEGIN HIDDEN"),
        (LAB, "**Time:**", "[a page](missing.md) **Time:**", "no such file beside the notebook"),
        (LAB, "**Time:**", "![](attachment:a.png)", "is not attached to this cell"),
        (LAB, "**Time:**", "[up](../../course.toml)", "leaves the lab's folder"),
        (LAB, "After this lab", "Now, after this lab", "new or changed text without translation"),
        (LAB, '"execution_count": null', '"execution_count": 3', "outputs are saved in the source"),
    ],
)
def test_a_mistake_in_a_notebook_is_named(
    course: Course, folder: Path, edit: Edit, name: str, old: str, new: str, said: str
) -> None:
    edit(name, old, new)
    errors = _errors(course)
    assert any(said in error for error in errors), errors


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grade_id": "variance"}, "grade_id variance is used twice"),
        ({"points": None}, "points = None: give the number of points"),
        ({"points": -1}, "points = -1"),
        ({"locked": False}, "test cell is not locked"),
        ({"schema_version": 1}, "schema_version is 1, not 3"),
        ({"grade_id": "a b"}, "grade_id 'a b': use letters"),
        ({"grade": False}, "hidden tests outside a test cell"),
    ],
)
def test_a_wrong_grade_cell_is_named(
    course: Course, folder: Path, change: dict[str, Any], said: str
) -> None:
    _cell(folder, "variance-tests", lambda cell: cell["metadata"]["nbgrader"].update(change))
    errors = _errors(course)
    assert any(said in error and "cell 3" in error for error in errors), errors


def test_a_solution_in_a_plain_cell_is_named(course: Course, folder: Path) -> None:
    _cell(folder, "variance", lambda cell: cell["metadata"].clear())
    assert any("not marked as a solution cell" in error for error in _errors(course))


def test_a_translation_with_other_fields_is_named(course: Course, edit: Edit) -> None:
    edit("locale/ko/" + LAB.replace(".ipynb", ".po"), "맞습니다.", "맞습니다{1/0}.")
    assert any("without translation: 'Right.'" in error for error in _errors(course))


def test_a_course_without_korean_is_only_noted(course: Course, folder: Path) -> None:
    import shutil

    shutil.rmtree(folder / "locale")
    assert _errors(course) == []
    assert {p.weight for p in problems(course)} == {"note"}


def test_a_problem_says_where() -> None:
    problem = Problem(Path("a.ipynb"), "3 (x)", "points = {points!r}", {"points": None})
    assert str(problem) == "a.ipynb, cell 3 (x): points = None"


@pytest.fixture
def dli(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs `./dli course …` on the small course, in English."""
    monkeypatch.setenv("DLI_COURSES_DIR", str(folder.parent))
    monkeypatch.setenv("DLI_SETTINGS", str(folder / "no.toml"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(words))
        return result.exit_code, result.output + str(result.exception or "")

    return run


def test_check_new_and_texts_on_the_command_line(
    dli: Callable[..., tuple[int, str]], folder: Path, edit: Edit
) -> None:
    assert dli("check", "small", "--no-run")[0] == 0
    edit(LAB, "After this lab", "Now, after this lab")
    code, said = dli("check", "small", "--no-run")
    assert code == 1
    assert "locale/ko/labs/01-first-lab/first-lab.po: new or changed text" in said
    code, said = dli("texts", "small")
    assert (code, "1 texts to translate" in said) == (0, True)
    assert dli("check", "small", "--no-run")[0] == 1  # fuzzy: a person must look at it
    code, said = dli("new", "small")
    assert code == 1
    assert "is there already" in said
    assert dli("new", "second", "--title", "Second")[0] == 0
    assert load(folder.parent / "second", IMAGES).title.en == "Second"
    assert "use 1 to 40" in dli("new", "Bad Id")[1]
    assert "There is no course nope" in dli("check", "nope")[1]
