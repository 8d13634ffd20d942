"""Grading one submission: nbgrader's own steps on this side, the learner's code on the other.

`prepare` sanitises, a sandbox runs, `finish` scores. Scores are written here only, from what the
sandbox answered about tests; notebooks' sources and metadata never come from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat
from nbgrader import utils
from nbgrader.api import Grade, MissingEntry
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    IgnorePattern,
    LimitOutput,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from sqlalchemy.orm import undefer

from core.course import Late
from core.i18n import N_
from grader import dates, intake, marks, outcomes
from grader.explained import Explained
from grader.gradebook import CourseBook, naive_utc
from grader.marks import Given
from grader.protocol import Cell, Outcome
from grader.repair import repair
from grader.submissions import STAMP
from grader.zygote.sandbox import given_names

_SANITISE = (ClearOutput, DeduplicateIds, OverwriteKernelspec, OverwriteCells, CheckCellMetadata)
_SCORE = (IgnorePattern, LimitOutput, SaveAutoGrades, CheckCellMetadata)


class Ungradable(Explained):
    """Why this submission cannot be graded, whatever is tried: for the instructor."""


@dataclass
class Prepared:
    """One sanitised notebook, ready to run."""

    name: str
    notebook: Any
    """With full tests, hidden ones included: never leaves this side as a whole."""
    visible: dict[int, str]
    """Released source of each cell that the learner must not see in full."""
    cells: list[Cell]
    flags: list[dict[str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Of `Task`."""


@dataclass
class Graded:
    """The result of one submission."""

    score: float
    max_score: float
    raw_score: float
    late_penalty: float
    needs_manual: bool
    cells: list[dict[str, Any]]
    flags: list[dict[str, str]]
    notebooks: dict[str, bytes]
    """Executed notebooks as the learner may see them."""


@dataclass(frozen=True)
class Entry:
    """Whose submission to what, when."""

    student: str
    assignment: str
    received_at: datetime
    counts: bool = True
    """False for an attempt that a newer one replaced: graded, but no trace in the gradebook."""
    seconds_late: float = 0.0
    late: Late = field(default_factory=Late)
    marks: tuple[Given, ...] = ()
    """What people gave by hand."""


def prepare(book: CourseBook, entry: Entry, files: dict[str, bytes]) -> list[Prepared]:
    """Enter the submission in the gradebook and sanitise its notebooks. Hold `book.lock`.

    A notebook that is missing counts zero. Raises Ungradable.
    """
    if entry.counts:
        _keep_submitted(book, entry, files)
    prepared = []
    with book.open() as gradebook:
        try:
            names = [n.name for n in gradebook.find_assignment(entry.assignment).notebooks]
        except MissingEntry:
            raise Ungradable(
                N_("The assignment %(assignment)s was never published."),
                assignment=entry.assignment,
            ) from None
        gradebook.update_or_create_student(entry.student)
        gradebook.update_or_create_submission(
            entry.assignment, entry.student, timestamp=naive_utc(entry.received_at)
        )
        for name in names:
            if f"{name}.ipynb" not in files:
                _zero(gradebook, entry, name)
    for name in names:
        if f"{name}.ipynb" in files:
            prepared.append(_sanitise(book, entry, name, files[f"{name}.ipynb"]))
    return prepared


def finish(
    book: CourseBook,
    entry: Entry,
    prepared: list[Prepared],
    ran: dict[str, Outcome],
    language: str,
) -> Graded:
    """Merge what the sandbox answered, score, write the gradebook. Hold `book.lock`."""
    details: dict[tuple[str, str], dict[str, Any]] = {}
    flags: list[dict[str, str]] = []
    pages = {}
    for part in prepared:
        told = outcomes.merge(part.notebook, part.cells, ran[part.name], language)
        details |= {(part.name, cell): detail for cell, detail in told.details.items()}
        flags += [{**flag, "notebook": part.name} for flag in part.flags + told.flags]
        notebook = _steps(book, entry, part.name, part.notebook, _SCORE)
        if entry.counts:
            _write(book.path("autograded", entry.student, entry.assignment), part.name, notebook)
        pages[part.name] = _as_learner_sees(notebook, part.visible)  # the last: changes it
    graded = settle(book, entry, details)
    graded.flags = flags
    graded.notebooks = pages
    return graded


def instructor_files(book: CourseBook, assignment: str) -> dict[str, bytes]:
    """The assignment's own files beside its notebooks; they win over a learner's."""
    source = book.path("source", ".", assignment)
    return {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.suffix != ".ipynb"
    }


def release_notebook(book: CourseBook, assignment: str, name: str) -> Any:
    """A notebook as learners receive it; not to be changed. Raises Ungradable."""
    path = book.path("release", ".", assignment) / f"{name}.ipynb"
    try:
        return _read_release(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        text = N_("%(name)s is in no published version. Publish the assignment again.")
        raise Ungradable(text, name=f"{name}.ipynb") from None


@lru_cache(maxsize=32)
def _read_release(path: Path, _changed: int) -> Any:
    return nbformat.read(path, as_version=4)


def _sanitise(book: CourseBook, entry: Entry, name: str, data: bytes) -> Prepared:
    notebook = intake.parse_notebook(f"{name}.ipynb", data)
    released = release_notebook(book, entry.assignment, name)
    flags = repair(notebook, released)
    try:
        notebook = _steps(book, entry, name, notebook, _SANITISE)
    except Exception as error:
        raise Ungradable(
            N_("%(name)s could not be made ready for grading: %(detail)s"),
            name=f"{name}.ipynb",
            detail=str(error),
        ) from error
    sources = {
        c.metadata["nbgrader"]["grade_id"]: c.source
        for c in released.cells
        if "nbgrader" in c.metadata and "grade_id" in c.metadata["nbgrader"]
    }
    visible, cells = {}, []
    for index, cell in enumerate(notebook.cells):
        seen = cell.source
        if utils.is_locked(cell):
            seen = sources.get(cell.metadata["nbgrader"].get("grade_id"), "")
            visible[index] = seen
        if cell.cell_type == "code":
            is_test = utils.is_grade(cell) and not utils.is_solution(cell)
            cells.append(Cell(index=index, source=seen, test=cell.source if is_test else None))
    return Prepared(name, notebook, visible, cells, flags, given_names(released))


def _steps(book: CourseBook, entry: Entry, name: str, notebook: Any, steps: Any) -> Any:
    resources = book.resources(entry.student, entry.assignment, name)
    for step in steps:
        notebook, resources = step()(notebook, resources)
    return notebook


def _keep_submitted(book: CourseBook, entry: Entry, files: dict[str, bytes]) -> None:
    folder = book.path("submitted", entry.student, entry.assignment)
    for old in sorted(folder.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() and not old.is_symlink() else old.unlink()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "timestamp.txt").write_text(entry.received_at.strftime(STAMP))


def _zero(gradebook: Any, entry: Entry, name: str) -> None:
    submitted = gradebook.find_submission_notebook(name, entry.assignment, entry.student)
    for grade in submitted.grades:
        grade.auto_score = 0
        grade.needs_manual_grade = False
    gradebook.db.commit()


def _write(folder: Path, name: str, notebook: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


def _as_learner_sees(notebook: Any, visible: dict[int, str]) -> bytes:
    for index, source in visible.items():
        notebook.cells[index].source = source
    return str(nbformat.writes(notebook)).encode()


def settle(
    book: CourseBook, entry: Entry, details: dict[tuple[str, str], dict[str, Any]]
) -> Graded:
    """Enter what was given by hand and what lateness costs; read the scores. Hold `book.lock`.

    `details` are told of cells by notebook and name. Raises nbgrader's MissingEntry.
    """
    with book.open() as gradebook:
        submission = gradebook.find_submission(entry.assignment, entry.student)
        marks.apply(gradebook, submission, entry.marks)
        _read_again(gradebook.db, submission)
        cells = []
        penalty = 0.0
        for notebook in submission.notebooks:
            lost = dates.penalty(entry.late, notebook.score, entry.seconds_late, entry.student)
            notebook.late_submission_penalty = lost or None
            penalty += lost
            for grade in notebook.grades:
                manual = bool(grade.needs_manual_grade)
                untested = {"outcome": "manual" if manual else "no-answer"}
                detail = details.get((notebook.name, grade.name), untested)
                cells.append(
                    {
                        "notebook": notebook.name,
                        "cell": grade.name,
                        "score": grade.score,
                        "max": grade.max_score,
                        "manual": manual,
                        **detail,
                    }
                )
        gradebook.db.commit()
        return Graded(
            score=max(submission.score - penalty, 0.0),
            max_score=submission.max_score,
            raw_score=submission.score,
            late_penalty=penalty,
            needs_manual=bool(submission.needs_manual_grade),
            cells=cells,
            flags=[],
            notebooks={},
        )


def _read_again(db: Any, submission: Any) -> None:
    """Read the scores anew: nbgrader's are computed in the database, and one by one when asked."""
    db.flush()
    db.refresh(submission, ["score", "max_score", "needs_manual_grade"])
    for notebook in submission.notebooks:
        db.refresh(notebook, ["score"])
        grades = db.query(Grade).filter(Grade.notebook_id == notebook.id)
        grades.options(undefer(Grade.max_score)).populate_existing().all()
