"""Courses that come, change, break and go while a service runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core import shelf
from core.course import CourseError
from core.shelf import Shelf
from tests.grading_course import COURSE, write_course

IMAGES = {"lab-cpu": "x"}


@pytest.fixture
def courses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shelf, "LOOK_SECONDS", 0)
    write_course(tmp_path / "c1")
    return tmp_path


def add(courses: Path, name: str) -> Path:
    write_course(courses / name)
    file = courses / name / "course.toml"
    file.write_text(COURSE.replace('"c1"', f'"{name}"'))
    return file


def test_courses_come_change_and_go(courses: Path) -> None:
    read = Shelf(courses, IMAGES)
    names = read.keys()
    assert (list(read), read.version) == (["c1"], 0)
    file = add(courses, "c2")
    assert list(read) == ["c1", "c2"]
    assert {"c2", "c3"} - names == {"c3"}
    file.write_text(file.read_text().replace('"Course"', '"Another course"'))
    assert read["c2"].title.en == "Another course"
    shutil.rmtree(courses / "c1")
    assert list(read) == ["c2"]
    assert read.version == 3


def test_a_broken_course_holds_up_no_other(courses: Path, caplog: pytest.LogCaptureFixture) -> None:
    read = Shelf(courses, IMAGES)
    caplog.set_level("INFO")
    sound = (courses / "c1" / "course.toml").read_text()
    (courses / "c1" / "course.toml").write_text("id = ")
    half = add(courses, "c2")
    notebooks = half.parent / "assignments"
    notebooks.rename(courses / "not-yet")
    assert list(read) == ["c1"]
    assert read["c1"].title.en == "Course"
    assert caplog.text.count("course not read") == 2, "each once"
    (courses / "not-yet").rename(notebooks)
    assert list(read) == ["c1", "c2"], "complete now, though course.toml is as it was"
    (courses / "c1" / "course.toml").write_text(sound)
    assert list(read) == ["c1", "c2"]


def test_a_start_with_a_broken_course_is_refused(courses: Path) -> None:
    (courses / "c1" / "course.toml").write_text("id = ")
    with pytest.raises(CourseError, match="c1"):
        Shelf(courses, IMAGES)
