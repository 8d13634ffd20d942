"""An instructor's week in a real browser, once in each language.

Publish, watch the grading live (over a restart of the service too), regrade after a faulty test was
mended, mark by rubric, preview and release feedback, export. The sandbox is stood in for; the live
class is on the whole platform in tests/e2e.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from nbformat import v4
from playwright.sync_api import Browser, Locator, Page, expect

from grader.database import open_database
from grader.exchange import archive
from grader.protocol import Outcome, Test
from grader.runner import Task
from grader.worker import Worker
from tests.conftest import PATIENCE_S
from tests.grading import Service, make_settings
from tests.grading_course import COURSE, TEST, source_notebook
from tests.hub.web.browser import page_in
from tests.platform import shared_node
from usage.client import CohortMember
from web import csrf
from web.auth import Person, signed_in

pytestmark = pytest.mark.browser

BASE = "/services/grader/courses/c1"
NAMES = {"ada": "가" * 60, "bob": "=1+1"}
WORDS = {
    "en": {"draft": "Draft", "published": "Published", "failed": "Failed",
           "released": "Feedback released", "graded": "Graded", "all": "Grade all again",
           "one": "Release feedback to this learner", "preview": "Preview the feedback on sums",
           "canvas": "For Canvas", "moodle": "For Moodle", "plain": "As nbgrader exports them",
           "of": "0 of 2", "saved": "Saved."},
    "ko": {"draft": "초안", "published": "공개됨", "failed": "실패", "released": "피드백 공개됨",
           "graded": "채점 완료", "all": "모두 다시 채점", "one": "이 교육생에게 피드백 공개",
           "preview": "sums 피드백 미리보기", "canvas": "Canvas용", "moodle": "Moodle용",
           "plain": "nbgrader 형식", "of": "2개 중 0개", "saved": "저장했습니다."},
}  # fmt: skip


class Judge:
    """A sandbox that reads the hidden tests instead of running them; `open` lets it go on."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def run(self, task: Task) -> Outcome:
        assert self.open.wait(PATIENCE_S)
        tests = {}
        for cell in task.cells:
            if cell.test is not None:
                wrong = "== 43" in cell.test
                error = "AssertionError: 42 is not 43" if wrong else ""
                outcome: Any = "fail" if wrong else "pass"
                tests[cell.index] = Test(index=cell.index, outcome=outcome, error=error)
        return Outcome(cells={}, tests=tests)


def write_notebook(folder: Path, test: str) -> None:
    """The instructor's notebook: two tests and an answer that a person grades."""
    notebook = source_notebook()
    next(c for c in notebook.cells if c.get("id") == "t1").source = test
    answer = v4.new_markdown_cell("Why is this so?", id="explain")
    answer.metadata["nbgrader"] = {
        "schema_version": 3, "grade": True, "solution": True, "locked": False, "task": False,
        "grade_id": "explain", "points": 5,
    }  # fmt: skip
    notebook.cells.append(answer)
    (folder / "assignments" / "sums" / "sums.ipynb").write_text(json.dumps(notebook))


class School(Service):
    """The service with its sign-in stood in for, also after a restart."""

    def start(self) -> None:
        async def person(request: Request) -> Person:
            request.state.person = Person("ines")
            return request.state.person

        async def no_guard() -> None:
            return None

        super().start()
        self.app.dependency_overrides[signed_in] = person
        self.app.dependency_overrides[csrf.guard] = no_guard

    def hand_in(self, name: str) -> None:
        file = self.settings.courses_dir / "c1" / "assignments" / "sums" / "sums.ipynb"
        self.client(name).submit(
            "c1", "sums", archive.build_from({"sums.ipynb": file.read_bytes()})
        )


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def school(tmp_path: Path, judge: Judge) -> Iterator[School]:
    """With a worker beside it."""
    settings = make_settings(tmp_path)
    course = settings.courses_dir / "c1"
    (course / "course.toml").write_text(COURSE.replace('cell = "test-double"', 'cell = "explain"'))
    write_notebook(course, TEST.replace("== 42", "== 43"))
    service = School(settings)
    (settings.state_dir / "node").symlink_to(shared_node(settings))
    plain = service.usage.members
    service.usage.members = lambda cohort: [  # type: ignore[method-assign]
        CohortMember(m.username, m.role, NAMES.get(m.username, ""), "") for m in plain(cohort)
    ]
    service.start()
    with at_work(service, judge):
        yield service


@contextmanager
def at_work(service: Service, judge: Judge) -> Iterator[None]:
    stop = threading.Event()
    with closing(open_database(service.settings.grader_database)) as database:
        worker = Worker(service.settings, database, judge)
        thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            judge.open.set()
            thread.join(60)
            service.stop()


def row_of(page: Page, name: str) -> Locator:
    return page.locator("#sums").get_by_role("row").filter(has_text=name)


def publish(page: Page, words: dict[str, str]) -> None:
    """Look at what learners get, and publish that."""
    page.goto(BASE)
    page.locator("#sums a[href*='/preview']").click()
    frame = page.frame_locator("iframe").first
    expect(frame.locator("body")).to_contain_text("NotImplementedError")
    assert "double(21)" not in frame.locator("body").inner_text(), "a hidden test"
    page.locator("form[action*='/publish'] button").click()
    card = page.locator("#sums")
    expect(card.get_by_text(words["published"], exact=True)).to_be_visible()
    expect(card.locator("button:disabled")).to_have_count(0)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_instructors_week(
    school: School, judge: Judge, chromium: Browser, language: str
) -> None:
    words = WORDS[language]
    url = school.url.removesuffix("/services/grader")
    with page_in(chromium, url, language=language) as page:
        page.goto(BASE)
        expect(page.locator("#sums").get_by_text(words["draft"], exact=True)).to_be_visible()
        publish(page, words)
        for name in ("ada", "bob"):
            school.hand_in(name)
        watch_a_faulty_test(page, words)
        mend_and_grade_again(page, words, school, judge)
        mark_by_rubric(page, words)
        preview_and_release(page, words)
        export(page, words)


def watch_a_faulty_test(page: Page, words: dict[str, str]) -> None:
    """Work appears and is graded under the open page; the log says why points are missing."""
    expect(row_of(page, "ada")).to_contain_text("3 / 10")
    expect(row_of(page, "ada")).to_contain_text(NAMES["ada"])
    expect(row_of(page, "bob")).to_contain_text("3 / 10")
    row_of(page, "ada").get_by_role("link").first.click()
    cell = page.get_by_role("row").filter(has_text="test-double").first
    expect(cell).to_contain_text(words["failed"])
    expect(cell).to_contain_text("42 is not 43")


def mend_and_grade_again(page: Page, words: dict[str, str], school: School, judge: Judge) -> None:
    """The faulty test is mended; the progress bar is there over a restart of the service."""
    write_notebook(school.settings.courses_dir / "c1", TEST)
    publish(page, words)
    judge.open.clear()
    page.get_by_role("button", name=words["all"]).click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator("#sums")).to_contain_text(words["of"])
    page.evaluate("window.same = true")
    school.stop()
    school.start()
    judge.open.set()
    for name in ("ada", "bob"):
        expect(row_of(page, name)).to_contain_text("5 / 10")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert page.evaluate("window.same"), "the page was never loaded anew"


def mark_by_rubric(page: Page, words: dict[str, str]) -> None:
    """Beside the notebook, with a comment, one learner after the other."""
    page.locator("#sums a[href*='/marking']").first.click()
    for points, comment in (("2.5", "Nearly"), ("3", "Good")):
        first = page.locator("input[name^=criterion]").first
        expect(first).to_be_focused()
        first.fill(points)
        page.locator("textarea").first.fill(comment)
        assert page.locator("iframe").first.get_attribute("sandbox") == ""
        page.locator("button[name=then][value=next]").click()
        expect(page.get_by_text(words["saved"])).to_be_visible()
    page.goto(BASE)
    expect(row_of(page, "ada")).to_contain_text("7.5 / 10")
    expect(row_of(page, "bob")).to_contain_text("8 / 10")
    expect(row_of(page, "bob").get_by_text(words["graded"], exact=True)).to_be_visible()


def preview_and_release(page: Page, words: dict[str, str]) -> None:
    """The history keeps each score; feedback is read first, released to one, then to all."""
    row_of(page, "ada").get_by_role("link").first.click()
    history = page.get_by_role("table").last
    for score in ("3 / 10", "5 / 10", "7.5 / 10"):
        expect(history).to_contain_text(score)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=words["preview"]).click()
    opened.value.wait_for_load_state()
    assert "Nearly" in opened.value.content()
    opened.value.close()
    page.get_by_role("button", name=words["one"]).click()
    page.goto(BASE)
    expect(row_of(page, "ada")).to_contain_text(words["released"])
    expect(row_of(page, "bob")).not_to_contain_text(words["released"])
    page.locator("form[action*='/release-feedback'] button").click()
    expect(row_of(page, "bob")).to_contain_text(words["released"])


def export(page: Page, words: dict[str, str]) -> None:
    """The gradebook, and the three files, in which no name is a formula."""
    page.goto(f"{BASE}/gradebook?state=released")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.goto(BASE)
    page.locator("details.dli-menu summary").click()
    for kind in ("plain", "canvas", "moodle"):
        with page.expect_download() as loaded:
            page.get_by_role("link", name=words[kind]).click()
        text = Path(loaded.value.path()).read_text("utf-8-sig")
        assert NAMES["ada"] in text or kind == "moodle", kind
        assert "7.5" in text, kind
        assert not any(
            part.lstrip('"').startswith("=") for part in text.replace("\n", ",").split(",")
        )
