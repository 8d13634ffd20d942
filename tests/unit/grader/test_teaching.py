"""An instructor's path over HTTP: preview, publish, grade one by one, gradebook, log, solution."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from nbformat import v4

from grader import history
from grader.models import Submission
from grader.notebook_html import as_html
from tests.grading import Service
from tests.unit.grader.test_exchange import NoSandbox
from tests.unit.grader.test_marking import give_score, post, submit
from tests.unit.grader.test_marking import pages as _pages
from tests.unit.grader.test_pages import get

pages = _pages
BASE = "/courses/c1/assignments/sums"


def location(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].removeprefix("/services/grader")


@pytest.fixture
def handed_in(pages: Service) -> list[str]:
    """Two graded submissions of which one waits for a person."""
    ids = [submit(pages, name) for name in ("ada", "bob")]
    for number, one in enumerate(ids):
        give_score(pages, one, number + 1, release=False)
    return ids


def test_the_preview_is_what_learners_get(pages: Service) -> None:
    page = get(pages, f"{BASE}/preview", "ines")
    assert page.status_code == 200
    assert "This is exactly what learners get" in page.text
    assert "sums.ipynb" in page.text
    assert re.search(r"Solutions</td><td class=\"dli-num\">1<", page.text)
    assert re.search(r"Hidden tests</td><td class=\"dli-num\">1<", page.text)
    shown = get(pages, f"{BASE}/preview/en/sums", "ines")
    assert shown.headers["content-security-policy"].startswith("sandbox;")
    assert "NotImplementedError" in shown.text
    assert "the-secret" not in shown.text
    assert "BEGIN" not in shown.text
    for path in ("/preview", "/preview/en/sums"):
        assert get(pages, BASE + path, "ada").status_code == 403
    assert get(pages, f"{BASE}/preview/en/nothing", "ines").status_code == 404
    assert get(pages, f"{BASE}/preview/xx/sums", "ines").status_code == 404


def test_what_changed_since_the_preview_is_not_published(pages: Service) -> None:
    page = get(pages, f"{BASE}/preview", "ines").text
    found = re.search(r'name="fingerprint" value="(\w+)"', page)
    assert found
    file = pages.settings.courses_dir / "c1" / "assignments" / "sums" / "notes.txt"
    file.write_text("a hint for everybody")
    try:
        refused = post(pages, f"{BASE}/publish", "ines", fingerprint=found[1])
        assert refused.status_code == 409
        assert "changed since the preview" in refused.text
        assert "notes.txt" in get(pages, f"{BASE}/preview", "ines").text
    finally:
        file.unlink()
    assert post(pages, f"{BASE}/publish", "ines", fingerprint=found[1]).status_code == 303
    while pages.worker(NoSandbox()).step():
        pass


def test_a_source_that_cannot_be_published_says_why(pages: Service) -> None:
    file = pages.settings.courses_dir / "c1" / "assignments" / "sums" / "sums.ipynb"
    good = file.read_text()
    file.write_text(good.replace("### END SOLUTION", ""))
    try:
        page = get(pages, f"{BASE}/preview", "ines")
        assert page.status_code == 409
        assert "cannot be published as it is" in page.text
    finally:
        file.write_text(good)


def test_one_submission_after_the_other(pages: Service, handed_in: list[str]) -> None:
    first = location(get(pages, f"{BASE}/marking", "ines"))
    assert first == f"/submissions/{handed_in[0]}/marking"
    page = get(pages, first, "ines").text
    assert "1 of 2" in page
    assert "ada" in page
    assert handed_in[1] in page
    fields = {"points-0": "4", "comment-0": "well done", "then": "next"}
    saved = post(pages, first, "ines", **fields)
    assert location(saved) == f"/submissions/{handed_in[1]}/marking?saved=true"
    assert "Saved." in get(pages, location(saved), "ines").text
    wrong = post(pages, first, "ines", **{**fields, "points-0": "77", "comment-0": "kept words"})
    assert wrong.status_code == 422
    assert "must be a number from 0 to 5" in wrong.text
    assert 'value="77"' in wrong.text
    assert "kept words" in wrong.text
    stays = post(pages, first, "ines", **{**fields, "then": ""})
    assert location(stays) == f"/submissions/{handed_in[0]}/marking?saved=true"
    hidden = get(pages, f"{first}?anonymous=true", "ines").text
    assert not re.search(r"\bada\b", hidden)
    assert "Submission " in hidden
    assert get(pages, f"{BASE}/marking", "ada").status_code == 403
    nothing = get(pages, "/courses/c1/assignments/ps1/marking", "ines")
    assert nothing.status_code == 409


def test_the_log_of_a_submission(pages: Service, handed_in: list[str]) -> None:
    post(pages, f"/submissions/{handed_in[0]}/marking", "ines", **{"points-0": "3"})
    with pages.app.state.desk.database.read() as session:
        found = session.get(Submission, handed_in[0])
        assert found
        events = history.of(session, found)
    assert events[-1].who == "ada"
    assert any(one.who == "ines" and "test-double: 3" in one.detail for one in events)
    page = get(pages, f"/submissions/{handed_in[0]}", "ines").text
    assert "Graded by hand" in page
    assert "Graded by hand" not in get(pages, f"/submissions/{handed_in[0]}", "ada").text


def test_the_gradebook_and_its_filters(pages: Service, handed_in: list[str]) -> None:
    page = get(pages, "/courses/c1/gradebook", "ines")
    assert page.status_code == 200
    assert handed_in[0] in page.text
    assert "2 / 5" in page.text
    only = get(pages, "/courses/c1/gradebook?name=BOB", "ines").text
    assert handed_in[1] in only
    assert handed_in[0] not in only
    assert "Nobody matches" in get(pages, "/courses/c1/gradebook?name=zzz", "ines").text
    assert handed_in[0] in get(pages, "/courses/c1/gradebook?state=graded", "ines").text
    assert handed_in[0] not in get(pages, "/courses/c1/gradebook?state=released", "ines").text
    assert handed_in[0] not in get(pages, "/courses/c1/gradebook?assignment=ps1", "ines").text
    assert "성적부" in get(pages, "/courses/c1/gradebook", "ines", "ko").text
    assert get(pages, "/courses/c1/gradebook", "ada").status_code == 403


def test_the_solution_is_read_after_it_was_released(pages: Service) -> None:
    path = "/solutions/c1/sums"
    assert get(pages, path, "ada").status_code == 404
    refused = post(pages, f"{BASE}/solution", "ines")
    assert refused.status_code == 409
    assert "can still hand in" in refused.text
    assert post(pages, f"{BASE}/solution", "ada", anyway="true").status_code == 403
    assert post(pages, f"{BASE}/solution", "ines", anyway="true").status_code == 303
    assert "Solution released" in get(pages, "/courses/c1", "ines").text
    assert "Read the solution" in get(pages, "/", "ada").text
    assert 'title="sums"' in get(pages, path, "ada").text
    shown = get(pages, f"{path}/read/sums", "ada")
    assert shown.headers["content-security-policy"].startswith("sandbox;")
    text = re.sub(r"<[^>]*>", "", shown.text)
    assert "return 2 * x" in text
    assert "the-secret" not in text
    assert "SOLUTION" not in text
    assert get(pages, f"{path}/archive", "ada").headers["content-type"] == "application/x-tar"
    assert get(pages, f"{path}/read/nothing", "ada").status_code == 404
    assert post(pages, f"{BASE}/solution/withdraw", "ines").status_code == 303
    assert get(pages, path, "ada").status_code == 404
    past = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert post(pages, f"{BASE}/dates", "ines", close=past).status_code == 303
    assert "Closed since" in get(pages, "/courses/c1", "ines").text
    assert post(pages, f"{BASE}/solution", "ines").status_code == 303
    assert post(pages, f"{BASE}/extensions", "ines", username="bob").status_code == 303
    assert post(pages, f"{BASE}/solution", "ines").status_code == 409, "bob may still hand in"


def test_text_of_a_notebook_is_shown_and_nothing_of_it_acts() -> None:
    text = (
        "# Head\n\nwords\n\n|a|\n|-|\n|1|\n\n<script>alert(1)</script>"
        '<img src=x onerror="alert(1)"><a href="javascript:alert(1)">link</a><p style="x">y</p>'
    )
    made = v4.new_notebook(cells=[v4.new_markdown_cell(text)])
    shown = as_html(json.dumps(made).encode(), "sums", "ko")
    for part in ("<h1", "<p>words</p>", "<th>a</th>", "&lt;script&gt;"):
        assert part in shown
    body = shown.split("</style>")[1]
    for part in ("<script", "onerror", "javascript:", "style="):
        assert part not in body.replace("&lt;script", "")
