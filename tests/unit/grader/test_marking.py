"""Dates, extensions, marks, visible results and certificates over the running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.plugins import LateSubmissionPlugin

from core.clock import now
from core.course import CourseError, Late
from grader import certificates, dates, jobs, marks
from grader.exchange import archive
from grader.exchange.client import Refused
from grader.models import Feedback, Job, Mark, Score
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.unit.grader.test_exchange import NoSandbox
from tests.unit.grader.test_pages import get

DAY = 86400


@given(score=st.floats(0, 100), days=st.floats(0, 30), percent=st.floats(0, 100))
def test_a_penalty_takes_from_nothing_to_everything(
    score: float, days: float, percent: float
) -> None:
    lost = dates.penalty(Late(percent_per_day=percent), score, days * DAY)
    assert 0 <= lost <= score
    if days == 0:
        assert lost == 0


class Strict(LateSubmissionPlugin):
    """A course's own plugin, after nbgrader's."""

    def late_submission_penalty(self, student_id: str, score: float, seconds: float) -> float:
        return 2.5 if student_id == "ada" else 99.0


def test_nbgraders_late_submission_plugins_are_asked() -> None:
    policy = Late(grace_minutes=1, plugin=f"{__name__}:Strict")
    assert dates.penalty(policy, 10, 60, "ada") == 0
    assert dates.penalty(policy, 10, 61, "ada") == 2.5
    assert dates.penalty(policy, 10, 61, "bob") == 10, "never more than there is"
    stock = Late(plugin="nbgrader.plugins:LateSubmissionPlugin")
    assert dates.penalty(stock, 10, 61, "bob") == 0
    with pytest.raises(CourseError, match="nowhere"):
        dates.penalty(Late(plugin="nowhere:Class"), 10, 61, "bob")


@pytest.mark.parametrize(
    ("seconds", "lost"),
    [(0, 0), (600, 0), (601, 1), (600 + DAY, 1), (601 + DAY, 2), (99 * DAY, 10)],
)
def test_each_day_begun_after_the_grace_counts(seconds: float, lost: float) -> None:
    assert dates.penalty(Late(percent_per_day=10, grace_minutes=10), 10, seconds) == lost


@pytest.mark.parametrize("text", ["-1", "3.5", "nan", "inf", "x"])
def test_points_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|convert"):
        marks.points(text, 3)
    assert marks.points("1,5", 3) == 1.5
    assert marks.points(" ", 3) is None


@pytest.fixture(scope="module")
def pages(service: Service) -> Iterator[Service]:
    service.client("ines").act("c1", "sums", "publish")
    while service.worker(NoSandbox()).step():
        pass
    with service.believing_a_header():
        yield service


def post(service: Service, path: str, name: str, **data: str) -> httpx.Response:
    headers = {"x-person": name, "accept-language": "en"}
    return httpx.post(f"{service.url}{path}", headers=headers, data=data, trust_env=False)


def submit(service: Service, name: str) -> str:
    data = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
    return service.client(name).submit("c1", "sums", data).id


def give_score(service: Service, submission: str, points: float, release: bool) -> None:
    desk = service.app.state.desk
    cell = {"notebook": "sums", "cell": "test-double", "score": points, "max": 5.0,
            "manual": False, "outcome": "fail", "why": "the-secret", "seen": "pass"}  # fmt: skip
    with desk.database.write() as session:
        for job in session.query(Job).filter_by(submission_id=submission):
            job.state = "done"
        score = Score(
            submission_id=submission, graded_at=now(), score=points, max_score=5.0,
            raw_score=points, late_penalty=0.0, needs_manual=False, cells=[cell], flags=[],
            notebooks={"sums": desk.blobs.put(json.dumps(source_notebook()).encode())},
        )  # fmt: skip
        session.add(score)
        session.flush()
        if release:
            session.add(
                Feedback(
                    submission_id=submission, notebook="sums", sha256="0" * 64,
                    score_id=score.id, released_at=now(), released_by="ines",
                )
            )  # fmt: skip


def test_a_submission_is_queued_and_its_visible_tests_are_shown(pages: Service) -> None:
    mine = submit(pages, "ada")
    with pages.app.state.desk.database.read() as session:
        assert [j.state for j in session.query(Job).filter_by(submission_id=mine)] == ["queued"]
    page = get(pages, f"/submissions/{mine}", "ada").text
    assert "is being run" in page
    give_score(pages, mine, 1, release=False)
    page = get(pages, f"/submissions/{mine}", "ada").text
    assert "Tests that you can see" in page
    assert "Passed" in page
    assert "the-secret" not in page
    assert "Failed" not in page
    assert get(pages, f"/submissions/{mine}/marking", "ada").status_code == 404
    assert get(pages, f"/submissions/{mine}/ran/sums", "ada").status_code == 404


def test_after_the_closing_time_only_an_extension_helps(pages: Service) -> None:
    past = (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    before = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    path = "/courses/c1/assignments/sums/dates"
    assert post(pages, path, "ada", due=past).status_code == 403
    assert post(pages, path, "ines", due="soon").status_code == 422
    assert post(pages, path, "ines", due=past, close=before).status_code == 422
    assert post(pages, path, "ines", due=before, close=past).status_code == 303
    with pytest.raises(Refused, match="closed"):
        submit(pages, "bob")
    extensions = "/courses/c1/assignments/sums/extensions"
    assert post(pages, extensions, "ines", username="nobody").status_code == 422
    assert post(pages, extensions, "ines", username="bob").status_code == 303
    submit(pages, "bob")
    assert "Extended for you" in get(pages, "/", "bob").text
    with pytest.raises(Refused, match="closed"):
        submit(pages, "cleo")
    assert "bob" in get(pages, path, "ines").text
    assert post(pages, path, "ines").status_code == 303
    submit(pages, "cleo")


def test_marks_are_kept_with_their_history(pages: Service) -> None:
    mine = submit(pages, "dora")
    path = f"/submissions/{mine}/marking"
    assert get(pages, path, "ines").status_code == 409
    give_score(pages, mine, 1, release=False)
    assert "test-double" in get(pages, path, "ines").text
    ran = get(pages, f"/submissions/{mine}/ran/sums", "ines")
    assert ran.headers["content-security-policy"].startswith("sandbox;")
    assert "allclose" in ran.text
    fields = {"points-0": "2.5", "comment-0": "<b>well</b>"}
    assert post(pages, path, "dora", **fields).status_code == 404
    assert post(pages, path, "ines", **{"points-0": "9"}).status_code == 422
    for _ in range(2):
        assert post(pages, path, "ines", **fields).status_code == 303
    fields["points-0"] = "3"
    post(pages, path, "ines", **fields)
    with pages.app.state.desk.database.read() as session:
        rows = session.query(Mark).filter_by(submission_id=mine).order_by(Mark.id).all()
        assert [row.points for row in rows] == [2.5, 3]
        assert marks.of(session, mine) == (marks.Given("sums", "test-double", 3, "<b>well</b>"),)
        assert jobs.last_of(session, "rescore", "c1", "sums", "autumn") is not None
    assert "&lt;b&gt;well" in get(pages, path, "ines").text
    submit(pages, "dora")
    assert post(pages, path, "ines", **fields).status_code == 409


def test_feedback_is_released_to_one_learner_alone(pages: Service) -> None:
    mine, other = submit(pages, "ada"), submit(pages, "bob")
    release = f"/submissions/{mine}/release"
    assert post(pages, release, "ada").status_code == 404
    assert post(pages, release, "ines").status_code == 409, "not graded"
    worker = pages.worker(Agreeable())
    while worker.step():
        pass
    assert post(pages, release, "ines").status_code == 303
    while worker.step():
        pass
    assert get(pages, f"/submissions/{mine}/feedback/sums", "ada").status_code == 200
    assert get(pages, f"/submissions/{other}/feedback/sums", "bob").status_code == 404


def test_points_by_criterion_of_a_rubric_make_the_points(pages: Service) -> None:
    mine = submit(pages, "cleo")
    path = f"/submissions/{mine}/marking"
    give_score(pages, mine, 1, release=False)
    page = get(pages, path, "ines").text
    assert "Rubric" in page
    assert "Explains" in page
    wrong = post(pages, path, "ines", **{"criterion-0-1": "2.5"})
    assert wrong.status_code == 422
    assert "from 0 to 2" in wrong.text
    typed = {"criterion-0-0": "2,5", "points-0": "1", "comment-0": "good"}
    assert post(pages, path, "ines", **typed).status_code == 303
    with pages.app.state.desk.database.read() as session:
        (given,) = marks.of(session, mine)
    assert given.points == 2.5
    assert given.criteria == (("Doubles", 2.5, 3.0), ("Explains", 0.0, 2.0))
    assert given.told == "good\nDoubles: 2.5 / 3\nExplains: 0 / 2"
    assert 'value="2.5"' in get(pages, path, "ines").text
    assert post(pages, path, "ines", **{"points-0": "1"}).status_code == 303
    with pages.app.state.desk.database.read() as session:
        assert marks.of(session, mine)[0].criteria == (), "points alone take their place"


def test_a_certificate_is_issued_once_verified_by_anyone_and_revoked(pages: Service) -> None:
    desk = pages.app.state.desk
    course = desk.courses["c1"]
    rule = course.passing.model_copy(update={"assignments": ["sums"], "percent": 60})
    course = course.model_copy(update={"passing": rule})
    mine = submit(pages, "emil")
    give_score(pages, mine, 2.9, release=True)
    with desk.database.write() as session:
        assert certificates.issue(session, course, "autumn", "emil") is None
    mine = submit(pages, "emil")
    give_score(pages, mine, 3.0, release=False)
    with desk.database.write() as session:
        assert certificates.issue(session, course, "autumn", "emil") is None, "nothing is released"
    give_score(pages, mine, 3.0, release=True)
    with desk.database.write() as session:
        made = certificates.issue(session, course, "autumn", "emil")
        assert made is not None
        assert certificates.issue(session, course, "autumn", "emil") is made
    url = f"{pages.url}/certificates/{made.id}"
    anyone = httpx.get(url, trust_env=False, headers={"accept-language": "en"})
    assert "genuine and valid" in anyone.text
    assert httpx.get(f"{url}x", trust_env=False).status_code == 404
    assert "Your certificate" in get(pages, "/", "emil").text
    assert get(pages, "/courses/c1/certificates", "emil").status_code == 403
    assert "emil" in get(pages, "/courses/c1/certificates", "ines").text
    assert post(pages, f"/certificates/{made.id}/revoke", "emil").status_code == 404
    assert post(pages, f"/certificates/{made.id}/revoke", "ines").status_code == 303
    assert "not valid" in httpx.get(url, trust_env=False, headers={"accept-language": "en"}).text
    assert "Your certificate" not in get(pages, "/", "emil").text
