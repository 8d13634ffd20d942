"""Honest work earns in the zygote what `nbgrader autograde` gives it, cell by cell."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbformat
import nbgrader
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment

from benchmarks import grade
from core.settings import Settings
from grader.autograde import Entry, Graded
from grader.gradebook import CourseBook
from grader.zygote.batch import ClassRun
from grader.zygote.sandbox import ZygoteSandbox

pytestmark = pytest.mark.docker

PACKAGE = Path(nbgrader.__file__).parent
GUIDE = PACKAGE / "docs" / "source" / "user_guide"
FILES = PACKAGE / "tests" / "apps" / "files"
OWN = ["submitted-unchanged", "submitted-changed", "submitted-grade-cell-changed",
       "submitted-locked-cell-changed"]  # fmt: skip


def published(folder: Path, assignment: str) -> CourseBook:
    """A course with nbgrader's release of what lies in its source folder."""
    book = CourseBook(folder, "course")
    with Gradebook(book.database, book.course) as gradebook:
        gradebook.update_or_create_assignment(assignment)
    GenerateAssignment(coursedir=book.directory(assignment)).start()
    return book


def both(
    tmp: Path, book: CourseBook, assignment: str, work: grade.Work, packages: list[str]
) -> tuple[object, object]:
    """Scores by the zygote and by plain nbgrader."""
    settings = Settings(instance=f"zygscore{os.getpid()}", state_dir=tmp)
    other = CourseBook(tmp / "plain", book.course)
    shutil.copytree(book.folder, other.folder)
    grade.put(other, work, assignment)
    with ZygoteSandbox(settings) as sandbox, book.lock():
        run = ClassRun(book, sandbox, packages)
        entries = ((Entry(s, assignment, grade.RECEIVED), files) for s, files in work.items())
        for entry, graded in run.grade(entries):
            assert isinstance(graded, Graded), (entry, graded)
    grade.plain(settings, other, assignment)
    students = list(work)
    return grade.scores(book, students, assignment), grade.scores(other, students, assignment)


def test_a_class_with_every_kind_of_answer(tmp_path: Path) -> None:
    book = CourseBook.of(tmp_path, "course")
    released = grade.publish(book, "numpy")
    work = {
        f"s{k}": {"nb.ipynb": grade.submission(released, "numpy", k)}
        for k in (0, 1, 7, 8, 9, 21, 26, 29)
    }
    mine, plain = both(tmp_path, book, grade.ASSIGNMENT, work, ["numpy"])
    assert mine == plain
    assert len({str(s) for s in mine.values()}) > 3  # type: ignore[attr-defined]


def test_nbgraders_documentation_course(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    shutil.copytree(GUIDE / "source" / "ps1", folder / "source" / "ps1")
    book = published(folder, "ps1")
    work = {
        student: {
            path.name: path.read_bytes()
            for path in (GUIDE / "submitted" / student / "ps1").iterdir()
            if path.is_file() and path.name != "timestamp.txt"
        }
        for student in ("bitdiddle", "hacker")
    }  # fmt: skip
    mine, plain = both(tmp_path, book, "ps1", work, ["numpy", "matplotlib.pyplot"])
    assert mine == plain


def test_nbgraders_own_test_notebooks(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    (folder / "source" / "p").mkdir(parents=True)
    source = nbformat.read(FILES / "submitted-unchanged.ipynb", as_version=4)
    nbformat.write(source, folder / "source" / "p" / "p1.ipynb")
    book = published(folder, "p")
    work = {name: {"p1.ipynb": (FILES / f"{name}.ipynb").read_bytes()} for name in OWN}
    mine, plain = both(tmp_path, book, "p", work, [])
    assert mine == plain
