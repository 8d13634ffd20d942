"""Two languages, one notebook: nothing drifts, grade cells stay as they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.course import Course, CourseError, load
from core.settings import ROOT, Labs
from grader import catalogue, codetext, material, rehearsal, translate

COURSES = [
    load(file.parent, Labs().images) for file in sorted((ROOT / "courses").glob("*/course.toml"))
]
NOTEBOOKS = [
    (course, file) for course in COURSES for file in sorted(course.folder.glob("*/*/*.ipynb"))
]


@pytest.mark.parametrize(("course", "file"), NOTEBOOKS, ids=[f.stem for _, f in NOTEBOOKS])
def test_every_text_has_its_korean(course: Course, file: Path) -> None:
    notebook = material.read_notebook(file)
    texts = catalogue.read(catalogue.path(course.folder, "ko", file))
    assert translate.missing(notebook, texts) == []
    assert translate.unused(notebook, texts) == []


@pytest.mark.parametrize(("course", "file"), NOTEBOOKS, ids=[f.stem for _, f in NOTEBOOKS])
def test_grade_cells_are_the_same_in_both_languages(course: Course, file: Path) -> None:
    source = material.read_notebook(file)
    korean = material.in_language(course, file, "ko")
    assert [c["id"] for c in source["cells"]] == [c["id"] for c in korean["cells"]]
    assert [c["metadata"] for c in source["cells"]] == [c["metadata"] for c in korean["cells"]]
    for a, b in zip(source["cells"], korean["cells"], strict=True):
        if not translate.is_translatable(a):
            assert a == b
    assert source != korean


def _notebook(*cells: tuple[str, str, dict[str, Any]]) -> translate.Notebook:
    return {"cells": [{"cell_type": k, "source": s, "metadata": m} for k, s, m in cells]}


def test_a_changed_cell_is_missing_and_its_old_text_unused() -> None:
    before = _notebook(("markdown", "# Old words", {}))
    after = _notebook(("markdown", "# New words", {}))
    texts = {"# Old words": "# 옛 글"}
    assert translate.translate(before, texts)["cells"][0]["source"] == "# 옛 글"
    assert translate.missing(after, texts) == ["# New words"]
    assert translate.unused(after, texts) == ["# Old words"]
    with pytest.raises(translate.TranslationError, match="New words"):
        translate.translate(after, texts)


def test_code_keeps_its_meaning() -> None:
    code = (
        'def f(x):\n    """Twice x.\n\n    Always.\n    """\n    # first line\n    # second line\n'
        '    assert x, f"x is {x}: give a number"\n    print("Done", "# not a comment")\n'
        "    return 2 * x  # the result\n"
    )
    texts = {
        "Twice x.\n\nAlways.": "x의 두 배.",
        "first line\nsecond line": "한 줄",
        "x is {x}: give a number": 'x가 "{x}"입니다',
        "Done": "끝",
        "# not a comment": "# 주석이 아님",
        "the result": "결과",
    }
    notebook = _notebook(("code", code, {}))
    assert translate.messages(notebook) == list(texts)
    assert translate.translate(notebook, texts)["cells"][0]["source"] == (
        'def f(x):\n    """x의 두 배."""\n    # 한 줄\n'
        '    assert x, f"x가 ’{x}’입니다"\n    print("끝", "# 주석이 아님")\n'
        "    return 2 * x  # 결과\n"
    )


def test_a_message_must_keep_its_fields() -> None:
    notebook = _notebook(("code", 'print(f"loss {loss:.3f}")', {}))
    assert translate.missing(notebook, {"loss {loss:.3f}": "손실"}) == ["loss {loss:.3f}"]
    assert translate.missing(notebook, {"loss {loss:.3f}": "손실 {loss:.3f}"}) == []


@pytest.mark.parametrize(
    "meta",
    [{"grade": True, "locked": True}, {"locked": True}, {"grade": True, "solution": True}],
)
def test_graded_and_locked_cells_are_left_alone(meta: dict[str, Any]) -> None:
    notebook = _notebook(("code", "# a test", {"nbgrader": meta}))
    assert translate.messages(notebook) == []
    assert translate.translate(notebook, {}) == notebook


def test_marks_and_stubs_are_no_texts() -> None:
    code = "# YOUR CODE HERE\n### BEGIN SOLUTION\nx = 1  # noqa\n### END SOLUTION\n# ----\n"
    assert codetext.spans(code) == []


@given(st.lists(st.sampled_from(["# some words", "x = 'a # b'", "    y = 1", "if x:", "#", ""])))
def test_translating_into_the_same_words_changes_nothing(lines: list[str]) -> None:
    code = "\n".join(lines)
    try:
        texts = {span.text: span.text for span in codetext.spans(code)}
    except ValueError:
        return  # not Python: refused, never changed
    assert codetext.replaced(code, texts) == code


def test_merging_keeps_what_still_fits_and_marks_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.po"
    first = "A sentence about tensors and their shapes."
    catalogue.write(file, {first: "텐서와 그 모양에 관한 문장.", "Kept words": "그대로"}, "a.ipynb")
    changed = "A sentence about tensors and all their shapes."
    assert catalogue.merge(file, ["Kept words", changed, "Brand new"], "a.ipynb") == 2
    assert catalogue.read(file) == {"Kept words": "그대로"}
    assert "텐서와 그 모양에 관한 문장." in file.read_text()
    assert catalogue.merge(file, ["Kept words", changed, "Brand new"], "a.ipynb") == 2


def test_a_broken_catalogue_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.po"
    file.write_text('msgid "a"\nnonsense\n')
    with pytest.raises(catalogue.CatalogueError, match=r"a\.po"):
        catalogue.read(file)


def test_a_release_is_translated_in_place_with_its_grade_cells(
    course: Course, folder: Path, tmp_path: Path
) -> None:
    import nbformat

    source = folder / "assignments" / "first-assignment" / "first-assignment.ipynb"
    release = rehearsal.released(material.read_notebook(source))
    (tmp_path / "ko").mkdir()
    file = tmp_path / "ko" / source.name
    nbformat.write(release, file)
    material.translate_release(course, "first-assignment", "ko", tmp_path / "ko")
    korean = material.read_notebook(file)
    assert "첫 번째 과제" in korean["cells"][0]["source"]
    assert [c["metadata"] for c in korean["cells"]] == [c["metadata"] for c in release["cells"]]
    assert korean["cells"][2] == release["cells"][2]
    assert "HIDDEN" not in file.read_text()
    (tmp_path / "other").mkdir()
    shutil.copy(source, tmp_path / "other" / "unknown.ipynb")
    with pytest.raises(CourseError, match=r"unknown\.po.*course texts small"):
        material.translate_release(course, "first-assignment", "ko", tmp_path / "other")
