"""`course.toml`: what a course consists of. A wrong file is refused with file, key and remedy.

Layout of a course folder::

    courses/<id>/
      course.toml
      labs/<lab>/*.ipynb               ungraded notebooks, English source
      assignments/<assignment>/*.ipynb nbgrader source (solutions, hidden tests), English source
      locale/ko/labs/<lab>/<notebook>.po          Korean text of each Markdown cell, comment
      locale/ko/assignments/<assignment>/….po     and message (see grader.translate)
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.ids import is_id


class CourseError(ValueError):
    """A course folder that cannot be used: file, key and remedy in one sentence each."""


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("use 1 to 40 of a-z, 0-9 and '-', not beginning or ending with '-'")
    return text


Id = Annotated[str, AfterValidator(_checked_id)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Part):
    """A sentence in both languages."""

    en: str = Field(min_length=1)
    ko: str = Field(min_length=1)

    def in_(self, language: str) -> str:
        """The text in `language`; English for any language but Korean."""
        return self.ko if language == "ko" else self.en


class Gpu(_Part):
    """The GPU a lab needs. `need`: none (never one), optional (offered), required."""

    need: Literal["none", "optional", "required"] = "optional"
    isolation: Literal["exclusive", "mig", "shared"] = "mig"
    memory_mb: int = Field(0, ge=0)
    count: int = Field(1, ge=1, le=16)


class Minutes(_Part):
    """How long a lab takes a learner."""

    cpu: int = Field(ge=1)
    gpu: int = Field(ge=1)


class Lab(_Part):
    """One lab. With `assignment` it is the place where that assignment is worked on."""

    id: Id
    title: Text
    minutes: Minutes
    gpu: Gpu = Gpu()
    assignment: Id | None = None


class Late(_Part):
    """What late work loses: `percent_per_day` of its score for each day begun after the grace.

    With `plugin`, a class after nbgrader's LateSubmissionPlugin ("module:Class"), what that says.
    """

    percent_per_day: float = Field(0, ge=0, le=100)
    grace_minutes: int = Field(0, ge=0)
    plugin: str = Field("", pattern=r"^([\w.]+:\w+)?$")


class Criterion(_Part):
    """One thing that earns points in an answer graded by hand."""

    text: Text
    points: float = Field(gt=0, description="Most points that it earns")


class Rubric(_Part):
    """What a person looks for in one answer. `cell` is its nbgrader id (grade_id)."""

    cell: str = Field(min_length=1)
    criteria: list[Criterion] = Field(min_length=1)


class Assignment(_Part):
    """One graded assignment. Times carry their zone."""

    id: Id
    title: Text
    release: datetime | None = None
    due: datetime | None = None
    close: datetime | None = Field(None, description="Nothing is taken after it")
    late: Late = Late()
    attempts: int | None = Field(None, ge=1, description="Most submissions per learner")
    autograde: bool = Field(True, description="Run visible tests as soon as work is submitted")
    packages: list[str] = Field(default=[], description="Imported once before learners' code runs")
    gpu: Gpu | None = Field(None, description="GPU on which its submissions are graded")
    rubric: list[Rubric] = Field(default=[], description="Criteria for answers graded by hand")

    @model_validator(mode="after")
    def _order(self) -> Assignment:
        for key in ("release", "due", "close"):
            value = getattr(self, key)
            if value is not None and value.tzinfo is None:
                raise ValueError(f"{key} needs a zone, for example 2026-12-01T09:00:00+09:00")
        if self.release and self.due and self.due <= self.release:
            raise ValueError("due must come after release")
        if self.close and self.due and self.close < self.due:
            raise ValueError("close must not come before due")
        return self

    def criteria(self, cell: str) -> list[Criterion]:
        """What a person looks for in the answer `cell`; empty when nothing is written down."""
        return next((one.criteria for one in self.rubric if one.cell == cell), [])


class PassRule(_Part):
    """The certificate's rule: at least `percent` in each of `assignments` (empty: all)."""

    percent: float = Field(60, ge=0, le=100)
    assignments: list[Id] = []


class Course(_Part):
    """A whole course, checked. `folder` is where it was read from."""

    id: Id
    title: Text
    summary: Text
    hours: float = Field(gt=0)
    image: str
    gpu_image: str | None = None
    labs: list[Lab] = Field(min_length=1)
    assignments: list[Assignment] = []
    passing: PassRule = PassRule()
    folder: Path

    def lab(self, lab_id: str) -> Lab | None:
        """The lab with this id, or None."""
        return next((lab for lab in self.labs if lab.id == lab_id), None)

    def assignment(self, assignment_id: str) -> Assignment | None:
        """The assignment with this id, or None."""
        return next((a for a in self.assignments if a.id == assignment_id), None)

    def notebooks(self, kind: Literal["labs", "assignments"], item: str) -> list[Path]:
        """Source notebooks of one lab or assignment, by name."""
        return sorted((self.folder / kind / item).glob("*.ipynb"))


def load(folder: Path, images: dict[str, str]) -> Course:
    """Read and check one course folder against the allowed `images` (settings: labs.images).

    Raises CourseError.
    """
    file = folder / "course.toml"
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        course = Course(**data, folder=folder)
    except FileNotFoundError:
        raise CourseError(f"{file}: not found; a course folder needs a course.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise CourseError(f"{file}: not readable as TOML: {error}") from None
    except ValidationError as error:
        lines = [f"{file}: {_explain(problem)}" for problem in error.errors(include_url=False)]
        raise CourseError("\n".join(lines)) from None
    except ValueError as error:  # a path with a NUL byte, say
        raise CourseError(f"{file}: not readable: {error}") from None
    problems = _problems(course, images)
    if problems:
        raise CourseError("\n".join(f"{file}: {problem}" for problem in problems))
    return course


def load_all(courses_dir: Path, images: dict[str, str]) -> dict[str, Course]:
    """Every course under `courses_dir`, by id. Raises CourseError for the first wrong one."""
    folders = sorted(path.parent for path in courses_dir.glob("*/course.toml"))
    return {course.id: course for course in (load(folder, images) for folder in folders)}


def _explain(problem: Any) -> str:
    """One wrong key: which one, what is wrong with it, what is allowed."""
    key = ".".join(map(str, problem["loc"])) or "course"
    if problem["type"] == "missing":
        return f"{key}: missing; add it"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; check its spelling or remove it"
    value = repr(problem["input"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key} = {value if len(value) <= 80 else value[:79] + '…'}: {message}"


def _problems(course: Course, images: dict[str, str]) -> list[str]:
    return [
        *_wrong_names(course, images),
        *_repeated_ids(course),
        *_missing_parts(course),
    ]


def _wrong_names(course: Course, images: dict[str, str]) -> Iterator[str]:
    if course.id != course.folder.name:
        yield f"id = {course.id!r}: must equal the folder's name {course.folder.name!r}"
    for key in ("image", "gpu_image"):
        name = getattr(course, key)
        if name is not None and name not in images:
            yield f"{key} = {name!r}: unknown image; allowed: {', '.join(sorted(images))}"


def _repeated_ids(course: Course) -> Iterator[str]:
    for kind, ids in (
        ("labs", [lab.id for lab in course.labs]),
        ("assignments", [item.id for item in course.assignments]),
    ):
        for item in sorted({item for item in ids if ids.count(item) > 1}):
            yield f"{kind}: id {item!r} is used twice; ids must differ"


def _missing_parts(course: Course) -> Iterator[str]:
    known = ", ".join(item.id for item in course.assignments) or "none"
    for lab in course.labs:
        if lab.assignment is not None and course.assignment(lab.assignment) is None:
            key = f"labs.{lab.id}.assignment"
            yield f"{key} = {lab.assignment!r}: no such assignment; known: {known}"
        elif lab.assignment is None and not course.notebooks("labs", lab.id):
            yield f"labs.{lab.id}: no notebook in labs/{lab.id}/; add one or remove the lab"
    for item in course.assignments:
        if not course.notebooks("assignments", item.id):
            yield f"assignments.{item.id}: no notebook in assignments/{item.id}/; add one"
    for item_id in course.passing.assignments:
        if course.assignment(item_id) is None:
            yield f"passing.assignments = {item_id!r}: no such assignment; known: {known}"
