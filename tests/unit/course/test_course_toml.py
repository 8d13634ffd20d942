"""A wrong course.toml is refused with file, key and remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.course import CourseError, load
from core.settings import ROOT, Labs
from tests.unit.course.conftest import IMAGES

Edit = Callable[[str, str, str], None]
_DUE = "# due = 2027-01-31T18:00:00+09:00"


def test_every_shipped_course_loads() -> None:
    folders = [file.parent for file in (ROOT / "courses").glob("*/course.toml")]
    assert folders
    for folder in folders:
        assert load(folder, Labs().images).labs


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "small"', 'id = "other"', "must equal the folder's name 'small'"),
        ('id = "small"', 'id = "Small Course"', "use 1 to 40 of a-z"),
        ('image = "lab-cpu"', 'image = "ubuntu"', "unknown image; allowed: lab-cpu, lab-gpu"),
        ("hours = 1", "hours = -1", "hours = -1"),
        ("hours = 1", "hour = 1", "hour: unknown key; check its spelling"),
        ("hours = 1", "", "hours: missing; add it"),
        ("hours = 1", "hours = ", "not readable as TOML"),
        ('title = { en = "Small", ko = "Small" }', 'title = { en = "Small" }', "title.ko: missing"),
        ('id = "assessment"', 'id = "01-first-lab"', "id '01-first-lab' is used twice"),
        ('assignment = "first-assignment"', 'assignment = "x"', "known: first-assignment"),
        ('assignments = ["first-assignment"]', 'assignments = ["x"]', "passing.assignments = 'x'"),
        ("percent = 60", "percent = 160", "passing.percent = 160"),
        ('need = "none"', 'need = "maybe"', "'none', 'optional' or 'required'"),
        ('id = "01-first-lab"', 'id = "02-lab"', "no notebook in labs/02-lab/; add one"),
        (
            _DUE,
            "release = 2027-02-01T09:00:00+09:00\ndue = 2027-01-31T18:00:00+09:00",
            "due must come after release",
        ),
        (_DUE, "due = 2027-01-31T18:00:00", "due needs a zone"),
    ],
)
def test_a_wrong_key_is_named_with_its_remedy(
    folder: Path, edit: Edit, old: str, new: str, said: str
) -> None:
    edit("course.toml", old, new)
    with pytest.raises(CourseError) as error:
        load(folder, IMAGES)
    assert said in str(error.value)
    assert str(folder / "course.toml") in str(error.value)


def test_an_assignment_without_notebook_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "assignments")
    with pytest.raises(CourseError, match="no notebook in assignments/first-assignment/"):
        load(folder, IMAGES)


def test_a_folder_without_course_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="not found; a course folder needs"):
        load(tmp_path, IMAGES)
