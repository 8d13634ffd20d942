"""Grading that goes wrong once: tried again by a button, after a restart, beside damage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grader import history
from grader.exchange import archive
from grader.models import Job, Score, Submission
from grader.protocol import Outcome, SandboxError
from grader.runner import Task
from grader.zygote.host import NO_CONTAINER
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.unit.grader.test_marking import pages, post, submit  # noqa: F401 (a fixture)
from tests.unit.grader.test_pages import get


class Broken(Agreeable):
    """No container can be had."""

    def run(self, task: Task) -> Outcome:
        raise SandboxError(NO_CONTAINER, detail="no space left on device")


def drain(service: Service, sandbox: Any) -> None:
    worker = service.worker(sandbox)
    while worker.step():
        pass


def scores(service: Service, submission: str) -> list[float]:
    with service.app.state.desk.database.read() as session:
        found = session.query(Score).filter_by(submission_id=submission).order_by(Score.id)
        return [score.score for score in found]


def job(service: Service, submission: str) -> Job:
    """The newest grading job."""
    with service.app.state.desk.database.read() as session:
        found = session.query(Job).filter_by(submission_id=submission, kind="grade")
        return found.order_by(Job.created_at.desc()).first()


def test_a_parked_job_is_tried_again_by_the_button(
    pages: Service,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grader.jobs.RETRY_SECONDS", (0, 0, 0))
    mine = submit(pages, "ada")
    drain(pages, Broken())
    assert (job(pages, mine).state, job(pages, mine).tries) == ("parked", 3)
    page = get(pages, "/courses/c1", "ines").text
    assert "no space left on device" in page
    assert "Try again" in page
    for path in ("/courses/c1", f"/submissions/{mine}"):
        korean = get(pages, path, "ines", "ko").text
        assert "채점 컨테이너가 시작되지 않거나 멈췄습니다: no space left on device" in korean
        assert "grading container" not in korean
    assert post(pages, f"/submissions/{mine}/grade", "ada").status_code == 404, "staff only"
    assert post(pages, f"/submissions/{mine}/grade", "ines").status_code == 303
    assert job(pages, mine).state == "queued"
    drain(pages, Agreeable())
    assert job(pages, mine).state == "done"
    assert scores(pages, mine) == [5.0]
    assert "no space left on device" not in get(pages, "/courses/c1", "ines").text


def test_the_first_submission_after_a_restart_is_graded(
    pages: Service,  # noqa: F811
) -> None:
    kept = pages.app.dependency_overrides
    pages.stop()
    pages.start()
    pages.app.dependency_overrides.update(kept)
    mine = submit(pages, "bob")
    drain(pages, Agreeable())
    assert scores(pages, mine) == [5.0]
    assert "5" in get(pages, f"/submissions/{mine}", "ines").text


def test_grading_again_keeps_every_score(pages: Service) -> None:  # noqa: F811
    mine = submit(pages, "cleo")
    drain(pages, Agreeable())
    assert post(pages, f"/submissions/{mine}/grade", "ines").status_code == 303
    drain(pages, Agreeable())
    assert scores(pages, mine) == [5.0, 5.0]
    with pages.app.state.desk.database.read() as session:
        events = history.of(session, session.get_one(Submission, mine))
    assert [event.what for event in events].count("Score") == 2


def odd(name: str) -> bytes:
    """A notebook that nbformat takes and nbgrader never wrote."""
    notebook = source_notebook()
    for cell in notebook.cells:
        own = cell.metadata.get("nbgrader")
        if own is None:
            continue
        if name == "schema":
            own["schema_version"] = 99
        elif name == "types":
            own["grade_id"] = ["a", {"b": 1}]
            own["points"] = "many"
        elif name == "bare":
            cell.metadata.clear()
        else:
            cell.metadata["nbgrader"] = name
    text: str = json.dumps(notebook)
    return text.encode()


def test_damage_stops_nobody_else(pages: Service) -> None:  # noqa: F811
    desk = pages.app.state.desk
    before = submit(pages, "ada")
    damaged = {submit(pages, name): name for name in ("bob", "cleo", "dora")}
    bytes_of = {"bob": desk.blobs.put(b"not a tar"), "cleo": desk.blobs.put(b""), "dora": "0" * 64}
    with desk.database.write() as session:
        for submission, name in damaged.items():
            session.get_one(Submission, submission).sha256 = bytes_of[name]
    strange = [
        pages.client("ines").submit("c1", "sums", archive.build_from({"sums.ipynb": odd(kind)})).id
        for kind in ("schema", "types", "bare", "text")
    ]
    after = submit(pages, "emil")
    drain(pages, Agreeable())
    for submission, name in damaged.items():
        assert job(pages, submission).state == "parked"
        assert ("store" if name == "dora" else "tar") in job(pages, submission).reason
    for submission in (before, after, *strange):
        assert scores(pages, submission) == [5.0]
    for page in ("", "/gradebook"):
        assert get(pages, f"/courses/c1{page}", "ines").status_code == 200
