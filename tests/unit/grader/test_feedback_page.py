"""The page of graded work: our words in the reader's language, what people wrote made harmless, and
no fault that axe-core finds."""

from __future__ import annotations

import nbformat
import pytest
from nbformat import v4
from playwright.sync_api import Browser

from core.settings import ROOT, Settings
from grader.feedback import _exporter, _given
from grader.notebook_html import as_html, cleaned, in_language
from tests.hub.web.browser import NARROW, WIDE, faults, page_in
from tests.platform import shared_node

SHOTS = ROOT / "artifacts" / "screenshots"
EVIL = "<script>alert(1)</script>"


def graded(**about: object) -> dict[str, object]:
    return {"nbgrader": {"schema_version": 3, "grade": True, "solution": False, **about}}


def notebook() -> nbformat.NotebookNode:
    failed = v4.new_output(
        "error", ename="AssertionError", evalue="no", traceback=["\x1b[0;31mAssertionError\x1b[0m"]
    )
    printed = v4.new_output("stream", text="a line that is long " * 30)
    own = graded(grade=False, solution=True, grade_id="double", comment=f"Nicely **done** {EVIL}")
    essay = graded(solution=True, grade_id="essay", score=2.5, points=3.0, comment="Nearly")
    cells = [
        v4.new_markdown_cell("# Sums\n\nAdd *numbers*.\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        v4.new_code_cell("def double(x):\n    return x * 2  # twice", metadata=own),
        v4.new_code_cell(
            "assert double(2) == 4",
            metadata=graded(grade_id="test-double", score=2.0, points=5.0),
            outputs=[failed],
        ),
        v4.new_markdown_cell(f"My own words {EVIL}", metadata=essay),
        v4.new_code_cell("print('a line')", outputs=[printed]),
    ]
    made: nbformat.NotebookNode = nbformat.from_dict(v4.new_notebook(cells=cells))
    return made


@pytest.fixture(scope="module")
def page() -> bytes:
    about = {"notebook": f"sums {EVIL}", "score": 4.5, "max_score": 8, "late_penalty": 0.5}
    given = {"nbgrader": about} | _given()
    html, _resources = _exporter().from_notebook_node(notebook(), resources=given)
    return str(html).encode()


def test_scores_and_comments_are_there_and_nothing_acts(page: bytes) -> None:
    text = page.decode()
    for part in ("4.5 / 8", "−0.5", "2 / 5", "2.5 / 3", "<strong>done</strong>", "Nearly"):
        assert part in text
    assert 'href="#cell-test-double"' in text
    assert 'id="cell-test-double"' in text
    assert "<script" not in text


def test_a_data_frames_style_sheet_is_not_shown_as_text() -> None:
    frame = "<style scoped>\n .dataframe { color: red }\n</STYLE><table><tr><td>1</td></tr></table>"
    assert "<td>1</td>" in cleaned(frame)
    assert "dataframe" not in cleaned(frame)
    assert "<script" not in cleaned("<scr<style></style>ipt>alert(1)</script>")


def test_a_page_of_an_older_version_stays_as_it_is() -> None:
    old = b"<!DOCTYPE html>\n<html>\n<head>"
    assert in_language(old, "ko") == old


@pytest.mark.browser
@pytest.mark.parametrize(
    ("language", "seen", "unseen"), [("ko", "내 답", "Your answer"), ("en", "Your answer", "내 답")]
)
def test_the_page_in_a_browser(
    page: bytes, chromium: Browser, language: str, seen: str, unseen: str
) -> None:
    """Without its sandbox, in which axe-core could not run."""
    axe = shared_node(Settings()) / "node_modules" / "axe-core" / "axe.min.js"
    plain = as_html(nbformat.writes(notebook()).encode(), "sums", language)
    SHOTS.mkdir(parents=True, exist_ok=True)
    feedback = in_language(page, language).decode()
    found = []
    with page_in(chromium, "http://127.0.0.1", language=language, size=NARROW) as tab:
        tab.set_content(plain)
        found += faults(tab, axe)
        for width, height in (NARROW, WIDE):
            tab.set_viewport_size({"width": width, "height": height})
            tab.set_content(feedback)
            found += faults(tab, axe)
            tab.screenshot(path=SHOTS / f"feedback-{language}-{width}.png", full_page=True)
        words = tab.locator("body").inner_text()
    assert found == []
    assert seen in words
    assert unseen not in words
