"""A new course that works at once: one lab, one graded assignment, both languages.

It is a copy of `cli/skeleton`, whose cells say what belongs in their place.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from core.ids import is_id

_SKELETON = Path(__file__).parent / "skeleton"


def create(courses_dir: Path, course_id: str, title: str) -> Path:
    """Write a new course and return its folder.

    Raises ValueError for a wrong id or title, FileExistsError when the folder is there.
    """
    if not is_id(course_id):
        raise ValueError("use 1 to 40 of a-z, 0-9 and '-', not beginning or ending with '-'")
    if any(mark in title for mark in '"\\\n'):
        raise ValueError("a title holds no quotation mark, backslash or line break")
    folder = courses_dir / course_id
    shutil.copytree(_SKELETON, folder)
    toml = folder / "course.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace("@ID@", course_id).replace("@TITLE@", title), encoding="utf-8")
    return folder
