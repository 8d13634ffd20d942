"""An instructor's pages in a real browser: both languages, themes and widths; keys alone grade."""

from __future__ import annotations

import pytest
from fastapi import Request
from playwright.sync_api import Browser, Page, expect

from core.clock import now
from core.settings import ROOT
from core.wire import Enrolment
from grader import jobs
from grader.models import Mark, Score, Submission
from grader.submissions import scores_of
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.hub.web.browser import faults_in_every_look, page_in
from tests.platform import shared_node
from tests.unit.grader.conftest import on_sqlite
from tests.unit.grader.test_marking import give_score, post, submit
from tests.unit.grader.test_marking import pages as _pages
from usage.client import CohortMember
from web.auth import Person, admin_only

pytestmark = pytest.mark.browser
pages = _pages
service = on_sqlite

BASE = "/services/grader/courses/c1"
SHOTS = ROOT / "artifacts" / "screenshots"


@pytest.fixture(scope="module")
def work(pages: Service) -> list[str]:
    """One graded, with all that a submission's page can say; one graded; one that could not be."""
    (pages.settings.state_dir / "node").symlink_to(shared_node(pages.settings))

    async def admin(request: Request) -> Person:
        request.state.person = Person("root", admin=True)
        return request.state.person

    pages.app.dependency_overrides[admin_only] = admin
    desk = pages.app.state.desk
    everybody = pages.usage.members
    names = {"ada": "가나다라마바사아자차카타파하" * 4 + "가나다라", "bob": "김하나"}
    pages.usage.members = lambda cohort: [  # type: ignore[method-assign]
        CohortMember(m.username, m.role, names.get(m.username, ""), "") for m in everybody(cohort)
    ]
    pages.usage.more["ines"] = [Enrolment("evening", "instructor", ["c1"], True)]
    pages.ask_again()
    ids = [submit(pages, name) for name in ("ada", "bob", "cleo")]
    worker = pages.worker(Agreeable())
    while worker.step():
        pass
    for number, one in enumerate(ids[:2]):
        give_score(pages, one, number + 1, release=False)
    with desk.database.write() as session:
        newest = scores_of(session, ids)[ids[0]]
        newest.flags = [
            {"flag": "deleted-cell", "notebook": "sums", "cell": "test-double"},
            {"flag": "noticed", "notebook": "sums", "what": "numpy.allclose"},
        ]
        newest.late_penalty, newest.needs_manual = 0.5, True
        session.get(Submission, ids[0]).late = True
        job = jobs.of_submission(session, session.get(Submission, ids[2]))
        jobs.park(job, now(), "The sandbox did not answer.")
        session.query(Score).filter_by(submission_id=ids[2]).delete()
    post(pages, "/courses/c1/assignments/sums/solution", "ines", anyway="true")
    post(pages, "/courses/c1/assignments/sums/extensions", "ines", username="bob")
    return ids


def addresses(work: list[str]) -> dict[str, str]:
    item, ada = f"{BASE}/assignments/sums", f"/services/grader/submissions/{work[0]}"
    return {
        "coursework": "/services/grader/",
        "course": BASE,
        "course-empty": f"{BASE}?cohort=evening",
        "preview": f"{item}/preview",
        "dates": f"{item}/dates",
        "dates-of-one": f"{item}/dates?username=ada",
        "gradebook": f"{BASE}/gradebook",
        "gradebook-empty": f"{BASE}/gradebook?cohort=evening",
        "submission": ada,
        "submission-failed": f"/services/grader/submissions/{work[2]}",
        "marking": f"{ada}/marking?saved=true",
        "solution": "/services/grader/solutions/c1/sums?cohort=autumn",
        "certificates": f"{BASE}/certificates",
        "audit": "/services/grader/audit",
    }


def opened(page: Page, address: str) -> Page:
    page.set_extra_http_headers({"x-person": "ines"})
    answer = page.goto(address)
    assert answer
    assert answer.status == 200, address
    return page


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_fault_on_any_page(
    pages: Service, work: list[str], chromium: Browser, language: str
) -> None:
    """Feedback is not here: its sandbox runs no script, and axe is one."""
    axe = pages.settings.state_dir / "node" / "node_modules" / "axe-core" / "axe.min.js"
    url = pages.url.removesuffix("/services/grader")
    found = []
    with page_in(chromium, url, language=language) as page:
        for name, address in addresses(work).items():
            if language == "en" and "-" in name:
                continue  # the same page in another state: looked at in Korean
            opened(page, address)
            found += faults_in_every_look(page, axe, SHOTS / f"instructor-{name}.{language}")
    assert found == []


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
