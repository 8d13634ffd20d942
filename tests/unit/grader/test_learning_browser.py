"""A learner's pages and the public ones of a certificate, in every look and both languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from core.clock import now
from core.settings import ROOT
from grader.models import Feedback
from tests.grading import Service
from tests.hub.web.browser import faults_in_every_look, page_in
from tests.platform import shared_node
from tests.unit.grader.conftest import on_sqlite
from tests.unit.grader.test_certificates import certificate
from tests.unit.grader.test_marking import give_score, post, submit
from tests.unit.grader.test_marking import pages as _pages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
pages = _pages
service = on_sqlite

SHOTS = ROOT / "artifacts" / "screenshots"


@pytest.fixture(scope="module")
def work(pages: Service) -> dict[str, str]:
    """Addresses: work that waits, work with a score, a solution, certificates that hold or not."""
    (pages.settings.state_dir / "node").symlink_to(shared_node(pages.settings))
    graded, waiting = submit(pages, "ada"), submit(pages, "ada")
    give_score(pages, graded, 3, release=True)
    post(pages, "/courses/c1/assignments/sums/solution", "ines", anyway="true")
    desk = pages.app.state.desk
    page = desk.blobs.put(b"<!doctype html><title>sums</title><p>Well done</p>")
    with desk.database.write() as session:
        session.query(Feedback).filter_by(submission_id=graded).update({"sha256": page})
        session.add(certificate(id="holds", course="c1", username="ada"))
        session.add(certificate(id="revoked", course="c1", username="bob", revoked_at=now()))
    return {
        "coursework": "/",
        "submission": f"/submissions/{graded}",
        "submission-waiting": f"/submissions/{waiting}",
        "receipts": "/receipts",
        "solution": "/solutions/c1/sums?cohort=autumn",
        "certificate": "/certificates/holds",
        "certificate-revoked": "/certificates/revoked",
        "unknown": "/submissions/sub-none",
    }


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_fault_on_any_page(
    pages: Service, work: dict[str, str], chromium: Browser, language: str
) -> None:
    axe = pages.settings.state_dir / "node" / "node_modules" / "axe-core" / "axe.min.js"
    found: list[str] = []
    with page_in(chromium, pages.url, language=language) as page:
        page.set_extra_http_headers({"x-person": "ada"})
        for title, path in work.items():
            answer = page.goto(pages.url + path)
            assert answer is not None
            assert answer.status == (404 if title == "unknown" else 200), path
            shot = SHOTS / f"learner-{title}-{language}"
            found += faults_in_every_look(page, axe, shot)
    assert found == []
