"""A small sound course that each test may break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.course_skeleton import create
from core.course import Course, load

IMAGES = {"lab-cpu": "x", "lab-gpu": "y"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a new course made by ./dli course new."""
    return create(tmp_path / "courses", "small", "Small")


@pytest.fixture
def course(folder: Path) -> Course:
    """The same, loaded."""
    return load(folder, IMAGES)


@pytest.fixture
def edit(folder: Path) -> Callable[[str, str, str], None]:
    """Replace a text in one of the course's files; the text must be there."""

    def change(name: str, old: str, new: str) -> None:
        file = folder / name
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    return change
