"""`./dli course import`: nbgrader's own example course becomes a course; nothing of it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from cli.course import app
from cli.course_import import ImportFailed, course_name, take_over
from core.course import load
from grader import catalogue, material, translate
from grader.course_checks import problems
from tests.unit.course.conftest import IMAGES


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course that `nbgrader quickstart` makes."""
    root = tmp_path_factory.mktemp("nbgrader")
    command = [sys.executable, "-m", "nbgrader", "quickstart", "physics"]
    done = subprocess.run(
        command,
        check=False,
        cwd=root,
        env={**os.environ, "HOME": str(root)},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    return root / "physics"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The smallest nbgrader course: one notebook without metadata of nbgrader's."""
    folder = tmp_path / "old" / "source" / "week1"
    folder.mkdir(parents=True)
    cell = nbformat.v4.new_code_cell("print('hello there')", execution_count=3)
    cell.outputs = [nbformat.v4.new_output("stream", text="hello there")]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "a.ipynb")
    return tmp_path / "old"


def test_nbgraders_own_example_lacks_only_its_translation(example: Path, tmp_path: Path) -> None:
    made = take_over(example, tmp_path, "physics-1")
    course = load(made.folder, IMAGES)
    assert course.title.en == "physics"  # from nbgrader_config.py
    assert [item.id for item in course.assignments] == ["ps1"]
    assert [lab.assignment for lab in course.labs] == ["ps1"]
    assert (made.folder / "assignments/ps1/jupyter.png").is_file()
    assert ["header.ipynb" in note for note in made.notes] == [True]
    found = problems(course)
    assert {problem.text.split(":")[0] for problem in found} == {
        "new or changed text without translation"
    }
    for file in course.notebooks("assignments", "ps1"):
        notebook = material.read_notebook(file)
        texts = {text: f"번역 {text}" for text in translate.messages(notebook)}
        catalogue.write(catalogue.path(course.folder, "ko", file), texts, file.name)
    assert problems(course) == []


def test_points_tests_and_solutions_are_those_of_the_example(example: Path, tmp_path: Path) -> None:
    folder = take_over(example, tmp_path, "physics").folder

    def graded(file: Path) -> list[tuple[str, float, str]]:
        return [
            (m["grade_id"], m.get("points", 0), cell.source)
            for cell in nbformat.read(file, as_version=4).cells
            if (m := cell.metadata.get("nbgrader"))
        ]

    for name in ("problem1.ipynb", "problem2.ipynb"):
        ours, theirs = folder / "assignments/ps1" / name, example / "source/ps1" / name
        assert graded(ours) == graded(theirs)
        assert sum(points for _, points, _ in graded(ours)) > 0


def test_outputs_go_and_links_are_left_out(small: Path, tmp_path: Path) -> None:
    (small / "source/week1/secret").symlink_to("/etc/hostname")
    (small / "source/week1/data").mkdir()
    (small / "source/week1/data/a.csv").write_text("1")
    made = take_over(small, tmp_path, "taken")
    folder = made.folder / "assignments/week1"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["a.csv", "a.ipynb"]
    assert "secret" in made.notes[0]
    cell = nbformat.read(folder / "a.ipynb", as_version=4).cells[0]
    assert (cell.outputs, cell.execution_count) == ([], None)


def test_the_configuration_is_read_and_never_run(small: Path) -> None:
    config = small / "nbgrader_config.py"
    assert course_name(small) == ""
    config.write_text("open('ran', 'w')\nc.CourseDirectory.course_id = 'Optics \"2\"'\n")
    assert course_name(small) == 'Optics "2"'
    assert not Path("ran").exists()
    config.write_text("c.CourseDirectory.course_id = secret()\n")
    assert course_name(small) == ""
    config.write_text("not python (")
    assert course_name(small) == ""


def test_a_title_with_quotes_is_still_a_course(small: Path, tmp_path: Path) -> None:
    title = 'Optics "2" \\ 빛'
    folder = take_over(small, tmp_path, "optics", title).folder
    assert load(folder, IMAGES).title.ko == title


def test_what_cannot_be_taken_over_is_said_and_leaves_nothing(small: Path, tmp_path: Path) -> None:
    courses = tmp_path / "courses"
    courses.mkdir()
    with pytest.raises(ImportFailed, match="no folder source/"):
        take_over(tmp_path / "nowhere", courses, "new")
    (small / "source/week1/a.ipynb").write_text("{broken")
    with pytest.raises(ImportFailed, match="not a notebook that can be read"):
        take_over(small, courses, "new")
    (small / "source/week1/a.ipynb").unlink()
    with pytest.raises(ImportFailed, match="holds no assignment"):
        take_over(small, courses, "new")
    with pytest.raises(ValueError, match="use 1 to 40"):
        take_over(small, courses, "Not An Id")
    assert list(courses.iterdir()) == []


def test_the_command(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    courses = tmp_path / "courses"
    courses.mkdir()
    monkeypatch.setenv("DLI_COURSES_DIR", str(courses))
    monkeypatch.setenv("DLI_SETTINGS", str(tmp_path / "no.toml"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    first = CliRunner().invoke(app, ["import", str(small), "old"])
    assert first.exit_code == 0, first.output
    assert "1 texts to translate" in first.output
    again = CliRunner().invoke(app, ["import", str(small), "old"])
    assert "is there already" in str(again.exception)
