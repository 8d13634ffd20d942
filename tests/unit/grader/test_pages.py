"""The pages over a running service: both languages, both roles, no page shows too much."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from core.clock import now
from grader.exchange import archive
from grader.models import Feedback, Score, Submission
from grader.pages.learner import NOTEBOOK_POLICY
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.unit.grader.test_exchange import NoSandbox
from web.sheets import harmless


@pytest.fixture(scope="module")
def pages(service: Service) -> Iterator[Service]:
    with service.believing_a_header():
        yield service


def get(service: Service, path: str, name: str, language: str = "en") -> httpx.Response:
    headers = {"x-person": name, "accept-language": language}
    return httpx.get(f"{service.url}{path}", headers=headers, trust_env=False)


def post(service: Service, path: str, name: str) -> httpx.Response:
    headers = {"x-person": name, "accept-language": "en"}
    return httpx.post(
        f"{service.url}{path}", headers=headers, trust_env=False, follow_redirects=True
    )


def test_publish_submit_and_look(pages: Service) -> None:
    assert "Not published yet" in get(pages, "/", "ada").text
    page = get(pages, "/courses/c1", "ines")
    assert page.status_code == 200
    assert "Draft" in page.text
    card = post(pages, "/courses/c1/assignments/sums/publish", "ines").text
    assert "Publishing" in card
    while pages.worker(NoSandbox()).step():
        pass
    card = get(pages, "/courses/c1", "ines").text
    assert "Version 1" in card
    assert "Publishing" not in card
    home = get(pages, "/", "ada", "ko").text
    assert "진행 중" in home
    assert "미제출" in get(pages, "/parts/due", "ada", "ko").text
    assert "미제출" not in get(pages, "/parts/due?course=other", "ada", "ko").text
    data = archive.build_from({"sums.ipynb": __import__("json").dumps(source_notebook()).encode()})
    receipt = pages.client("ada").submit("c1", "sums", data)
    assert receipt.id in get(pages, "/", "ada").text
    assert receipt.id not in get(pages, "/", "bob").text
    assert "Submitted" in get(pages, "/parts/due", "ada").text
    assert receipt.id in get(pages, "/parts/work", "ada").text
    assert receipt.id not in get(pages, "/parts/work", "bob").text
    detail = get(pages, f"/submissions/{receipt.id}", "ada")
    assert receipt.sha256 in detail.text
    assert get(pages, f"/submissions/{receipt.id}", "bob").status_code == 404
    card = post(pages, "/courses/c1/assignments/sums/grade", "ines").text
    assert "Being graded" in card
    assert "0 of 1" in card
    _grade_by_hand(pages, receipt.id, "")
    assert "the-secret" not in get(pages, f"/submissions/{receipt.id}", "ada").text
    assert "the-secret" in get(pages, f"/submissions/{receipt.id}", "ines").text
    _grade_by_hand(pages, receipt.id, "<script>alert(1)</script>")
    shown = get(pages, f"/submissions/{receipt.id}/feedback/sums", "ada")
    assert shown.headers["content-security-policy"] == NOTEBOOK_POLICY
    own = get(pages, f"/submissions/{receipt.id}", "ada")
    assert "test-double" in own.text
    assert "the-secret" not in own.text
    korean = get(pages, f"/submissions/{receipt.id}", "ines", "ko")
    assert "채점 기록" in korean.text
    csv = get(pages, "/courses/c1/export.csv", "ines")
    assert csv.text.lstrip("\ufeff").startswith("assignment,duedate,timestamp,student_id")


def _grade_by_hand(service: Service, submission: str, page: str) -> None:
    """A score, and a released page unless `page` is empty."""
    desk = service.app.state.desk
    with desk.database.write() as session:
        assert session.get(Submission, submission)
        score = Score(
            submission_id=submission,
            graded_at=now(),
            score=1.0,
            max_score=5.0,
            raw_score=1.0,
            late_penalty=0.0,
            needs_manual=False,
            cells=[
                {
                    "notebook": "sums",
                    "cell": "test-double",
                    "score": 0.0,
                    "max": 2.0,
                    "manual": False,
                    "outcome": "fail",
                    "why": "AssertionError: the-secret",
                }
            ],
            flags=[{"flag": "copied-cell", "cell": "double", "notebook": "sums"}],
            notebooks={},
        )
        session.add(score)
        session.flush()
        if page:
            session.add(
                Feedback(
                    submission_id=submission,
                    notebook="sums",
                    sha256=desk.blobs.put(page.encode()),
                    score_id=score.id,
                    released_at=now(),
                    released_by="ines",
                )
            )


def test_learners_cannot_open_an_instructors_page(pages: Service) -> None:
    for path in ("/courses/c1", "/courses/c1/export.csv", "/courses/c1/events"):
        assert get(pages, path, "ada").status_code == 403
    assert post(pages, "/courses/c1/assignments/sums/publish", "ada").status_code == 403
    assert post(pages, "/courses/c1/assignments/nothing/publish", "ines").status_code == 404


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_no_cell_of_the_export_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"
