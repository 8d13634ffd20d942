"""Attacks that the host answers before anything runs: forged times, points, cells and archives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from benchmarks import grade
from grader import autograde, intake
from grader.autograde import Entry, Prepared
from grader.gradebook import CourseBook


@pytest.fixture(scope="module", name="book")
def _book(tmp_path_factory: pytest.TempPathFactory) -> CourseBook:
    book = CourseBook.of(tmp_path_factory.mktemp("state"), "course")
    grade.publish(book, "numpy")
    return book


def released(book: CourseBook) -> nbformat.NotebookNode:
    return nbformat.read(book.path("release", ".", grade.ASSIGNMENT) / "nb.ipynb", as_version=4)


def prepared(book: CourseBook, notebook: nbformat.NotebookNode, **files: bytes) -> Prepared:
    entry = Entry("eve", grade.ASSIGNMENT, grade.RECEIVED)
    work = {"nb.ipynb": nbformat.writes(notebook).encode(), **files}
    (only,) = autograde.prepare(book, entry, work)
    return only


def graded(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
    found = {c.metadata["nbgrader"]["grade_id"]: c for c in cells}
    assert len(found) == len(cells)
    return found


def assert_whole(part: Prepared) -> None:
    """Every test is there once, with its released source and points."""
    cells = graded(part.notebook)
    assert sorted(cells) == ["test-mean", "test-model", "test-partial", "test-square"]
    assert {c.metadata["nbgrader"]["points"] for c in cells.values()} == {2}
    assert "assert square(3) == 9" in cells["test-square"].source
    assert "mean([4])" in cells["test-mean"].source
    assert len([c for c in part.cells if c.test is not None]) == 4


def test_19_a_forged_timestamp_file_does_not_set_the_time(book: CourseBook) -> None:
    prepared(book, released(book), **{"timestamp.txt": b"1999-01-01 00:00:00 UTC"})
    with Gradebook(book.database, book.course) as gradebook:
        made = gradebook.find_submission(grade.ASSIGNMENT, "eve")
        assert made.timestamp == grade.RECEIVED.replace(tzinfo=None)


def test_20_points_and_tests_that_were_edited_are_put_right(book: CourseBook) -> None:
    notebook = released(book)
    for cell in graded(notebook).values():
        cell.metadata["nbgrader"]["points"] = 500
        cell.source = "pass"
    assert_whole(prepared(book, notebook))


def test_a_test_declared_a_solution_is_a_test_again(book: CourseBook) -> None:
    notebook = released(book)
    for cell in graded(notebook).values():
        cell.metadata["nbgrader"].update(solution=True, locked=False)
        cell.source = "pass"
    part = prepared(book, notebook)
    assert_whole(part)
    assert part.flags


def test_21_deleted_tests_come_back(book: CourseBook) -> None:
    notebook = released(book)
    gone = [c.metadata["nbgrader"]["grade_id"] for c in graded(notebook).values()]
    notebook.cells = [
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in gone
    ]
    part = prepared(book, notebook)
    assert_whole(part)
    assert part.flags


def test_duplicated_grade_ids_count_once(book: CourseBook) -> None:
    notebook = released(book)
    for cell in list(graded(notebook).values()):
        copy = nbformat.from_dict(cell)
        copy["id"] = cell["id"] + "x"
        copy.source = "pass"
        notebook.cells.append(copy)
    part = prepared(book, notebook)
    assert_whole(part)
    assert part.flags


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_22_only_regular_files_are_taken(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "upload.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("hostname")
        info.type, info.linkname = kind, "/etc/hostname"
        archive.addfile(info, io.BytesIO())
    with pytest.raises(intake.Unacceptable):
        intake.check(path, 1 << 20, 10)
