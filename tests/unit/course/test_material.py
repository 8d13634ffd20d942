"""Course material: complete, readable, unchanged when nothing changed, never half a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.course import Course, CourseError
from core.settings import Settings
from grader import material

Edit = Callable[[str, str, str], None]
_NOTEBOOK = "labs/01-first-lab/first-lab.ipynb"


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_build_has_every_lab_in_each_language(tmp_path: Path, course: Course) -> None:
    settings = Settings(state_dir=tmp_path / "state", courses_dir=course.folder.parent)
    material.build_all(settings)
    built = tmp_path / "state" / "materials" / "small"
    english, korean = _tree(built / "en"), _tree(built / "ko")
    assert set(english) == set(korean)
    assert set(english) == {
        "README.md",
        "01-first-lab/first-lab.ipynb",
        "01-first-lab/solutions/first-lab.ipynb",
    }
    assert "첫 번째 실습" in korean["01-first-lab/first-lab.ipynb"].decode()
    assert b"NotImplementedError" in english["01-first-lab/first-lab.ipynb"]
    assert b"sum(values)" not in english["01-first-lab/first-lab.ipynb"]
    worked = english["01-first-lab/solutions/first-lab.ipynb"]
    assert b"sum(values)" in worked
    assert b"SOLUTION" not in worked


def test_no_assignment_is_in_the_material(tmp_path: Path, course: Course) -> None:
    names = material.contents(course, "en")
    assert not any("first-assignment" in name for name in names)
    assert not any(b"HIDDEN TESTS" in data for data in names.values())


def test_a_second_build_changes_nothing(tmp_path: Path, course: Course) -> None:
    target = tmp_path / "m" / "ko"
    assert material.build(course, "ko", target)
    before = {p: p.stat().st_mtime_ns for p in target.rglob("*")}
    assert not material.build(course, "ko", target)
    assert before == {p: p.stat().st_mtime_ns for p in target.rglob("*")}


def test_labs_of_another_user_can_read_it(tmp_path: Path, course: Course) -> None:
    old = os.umask(0o077)
    try:
        material.build(course, "en", tmp_path / "m" / "en")
    finally:
        os.umask(old)
    for path in [tmp_path / "m" / "en", *(tmp_path / "m" / "en").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_a_change_reaches_the_same_folder_and_stale_files_go(
    tmp_path: Path, course: Course, folder: Path, edit: Edit
) -> None:
    (folder / "labs" / "01-first-lab" / "picture.png").write_bytes(b"png")
    target = tmp_path / "m" / "en"
    material.build(course, "en", target)
    mounted = target.stat().st_ino
    assert (target / "01-first-lab" / "picture.png").exists()
    (folder / "labs" / "01-first-lab" / "picture.png").unlink()
    edit(_NOTEBOOK, "what is the mean of 1, 2 and 6?", "what is the mean of 1, 2 and 9?")
    assert material.build(course, "en", target)
    assert target.stat().st_ino == mounted  # running labs have this folder mounted
    assert b"1, 2 and 9" in (target / "01-first-lab" / "first-lab.ipynb").read_bytes()
    assert not (target / "01-first-lab" / "picture.png").exists()
    assert [p.name for p in (tmp_path / "m").iterdir() if p.name.startswith(".en.")] == [
        ".en.built"
    ]


def test_a_reader_never_sees_half_a_file(tmp_path: Path, course: Course, edit: Edit) -> None:
    target = tmp_path / "m" / "en"
    material.build(course, "en", target)
    file = target / "01-first-lab" / "first-lab.ipynb"
    done = threading.Event()
    broken: list[str] = []

    def read() -> None:
        while not done.is_set():
            text = file.read_text()
            if not (text.startswith("{") and text.endswith("}\n")):
                broken.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(10):
            edit(_NOTEBOOK, f"Predict{'!' * number}*", f"Predict{'!' * (number + 1)}*")
            assert material.build(course, "en", target)
    finally:
        done.set()
        reader.join()
    assert broken == []


def test_a_build_that_died_is_done_again(
    tmp_path: Path, course: Course, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m" / "en"
    material.build(course, "en", target)
    edit(_NOTEBOOK, "1, 2 and 6", "1, 2 and 9")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            material.build(course, "en", target)
    assert material.build(course, "en", target)
    assert b"1, 2 and 9" in (target / "01-first-lab" / "first-lab.ipynb").read_bytes()


def test_an_untranslated_text_is_refused_and_the_old_material_stays(
    tmp_path: Path, course: Course, edit: Edit
) -> None:
    settings = Settings(state_dir=tmp_path / "state", courses_dir=course.folder.parent)
    material.build_all(settings)
    before = _tree(tmp_path / "state" / "materials" / "small" / "ko")
    edit(_NOTEBOOK, "what is the mean of 1, 2 and 6?", "what is their sum?")
    with pytest.raises(CourseError, match=r"first-lab\.po: 1 texts have no translation"):
        material.build_all(settings)
    assert _tree(tmp_path / "state" / "materials" / "small" / "ko") == before
    english = tmp_path / "state" / "materials" / "small" / "en" / "01-first-lab"
    assert "their sum" in (english / "first-lab.ipynb").read_text()


def test_a_course_without_korean_is_shown_as_it_is(course: Course, folder: Path) -> None:
    import shutil

    shutil.rmtree(folder / "locale")
    name = "01-first-lab/solutions/first-lab.ipynb"
    assert material.contents(course, "ko")[name] == material.contents(course, "en")[name]


def test_a_notebook_that_is_not_json_is_named(course: Course, folder: Path) -> None:
    (folder / _NOTEBOOK).write_text("no notebook")
    with pytest.raises(CourseError, match=r"first-lab\.ipynb: not a readable notebook"):
        material.contents(course, "en")
