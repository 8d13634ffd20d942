"""An instructor's pages in a real browser: both languages, themes and widths; keys alone grade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.settings import ROOT
from grader.models import Mark
from tests.grading import Service, running
from tests.hub.web.browser import NARROW, WIDE, faults, page_in
from tests.platform import shared_node
from tests.unit.grader.test_marking import give_score, post, submit
from tests.unit.grader.test_marking import pages as _pages

pytestmark = pytest.mark.browser
pages = _pages

BASE = "/services/grader/courses/c1"
SHOTS = ROOT / "artifacts" / "screenshots"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """On SQLite alone: a page looks the same on both databases."""
    with running(tmp_path_factory.mktemp("grader")) as made:
        yield made


@pytest.fixture(scope="module")
def work(pages: Service) -> list[str]:
    """Two graded submissions and a released solution."""
    (pages.settings.state_dir / "node").symlink_to(shared_node(pages.settings))
    ids = [submit(pages, name) for name in ("ada", "bob")]
    for number, one in enumerate(ids):
        give_score(pages, one, number + 1, release=False)
    post(pages, "/courses/c1/assignments/sums/solution", "ines", anyway="true")
    return ids


def addresses(work: list[str]) -> dict[str, str]:
    item = f"{BASE}/assignments/sums"
    return {
        "course": BASE,
        "preview": f"{item}/preview",
        "dates": f"{item}/dates",
        "gradebook": f"{BASE}/gradebook",
        "submission": f"/services/grader/submissions/{work[0]}",
        "marking": f"/services/grader/submissions/{work[0]}/marking?saved=true",
        "solution": "/services/grader/solutions/c1/sums?cohort=autumn",
    }


def opened(page: Page, address: str) -> Page:
    page.set_extra_http_headers({"x-person": "ines"})
    answer = page.goto(address)
    assert answer
    assert answer.status == 200, address
    return page


@pytest.mark.parametrize(
    ("language", "theme", "size"),
    [
        ("ko", "light", WIDE),
        ("en", "light", WIDE),
        ("ko", "dark", NARROW),
        ("en", "dark", NARROW),
    ],
)
def test_no_fault_on_any_page(
    pages: Service, work: list[str], chromium: Browser, language: str, theme: str, size: tuple
) -> None:
    axe = pages.settings.state_dir / "node" / "node_modules" / "axe-core" / "axe.min.js"
    SHOTS.mkdir(parents=True, exist_ok=True)
    url = pages.url.removesuffix("/services/grader")
    with page_in(chromium, url, language=language, theme=theme, size=size) as page:
        for name, address in addresses(work).items():
            opened(page, address)
            shot: Path = SHOTS / f"instructor-{name}-{theme}.{language}.png"
            page.screenshot(path=shot, full_page=True)
            assert faults(page, axe) == []


def test_a_class_is_graded_with_the_keyboard_alone(
    pages: Service, work: list[str], chromium: Browser
) -> None:
    url = pages.url.removesuffix("/services/grader")
    with page_in(chromium, url, language="en") as page:
        opened(page, f"{BASE}/assignments/sums/marking")
        expect(page.get_by_text("1 of 2")).to_be_visible()
        expect(page.locator("#criterion-0-0")).to_be_focused()
        for text in ("3", "1.5", "Nearly"):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        expect(page.locator("#points-0")).to_have_value("4.5")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("2 of 2")).to_be_visible()
        expect(page.get_by_text("Saved.")).to_be_visible()
        page.keyboard.press("Alt+ArrowLeft")
        expect(page.get_by_text("1 of 2")).to_be_visible()
        expect(page.locator("#points-0")).to_have_value("4.5")
        page.keyboard.type("1")
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.keyboard.press("Alt+ArrowRight")
        expect(page.get_by_text("1 of 2")).to_be_visible()
    with pages.app.state.desk.database.read() as session:
        marks = [(m.points, m.comment) for m in session.query(Mark).order_by(Mark.id)]
    assert marks == [(4.5, "Nearly")]
