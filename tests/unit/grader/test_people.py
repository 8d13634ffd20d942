"""One person's coursework as a file, erasing them, and who did what in the log."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core import secrets
from grader import audit, people
from grader.audit import AuditRow
from grader.blobs import Blobs
from grader.exchange import archive
from grader.gradebook import CourseBook
from grader.models import Base, Certificate, Feedback, Mark, Score, Submission
from grader.submissions import student_id
from grader.upkeep import named_blobs
from store.database import Database
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.unit.grader.test_exchange import NoSandbox

PSEUDONYM = "erased:0123456789ab"


@pytest.fixture(scope="module")
def worked(service: Service) -> Service:
    """ada and bob handed in; ada has a certificate."""
    service.client("ines").act("c1", "sums", "publish")
    while service.worker(NoSandbox()).step():
        pass
    data = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
    for name in ("ada", "bob"):
        service.client(name).submit("c1", "sums", data)
    with service.app.state.desk.database.write() as session:
        session.add(
            Certificate(
                id="cert-1",
                course="c1",
                cohort="autumn",
                username="ada",
                percent=90,
                issued_at=datetime.now(UTC),
                revoked_at=None,
                revoked_by="",
                name="에이다",
                titles={},
                hours=2,
            )
        )
    return service


def ask(service: Service, method: str, path: str, **more: object) -> httpx.Response:
    key = secrets.load(service.settings.state_dir, "key-usage")
    return httpx.request(
        method,
        f"{service.url}/api/internal{path}",
        headers={"Authorization": f"Bearer {key}"},
        **more,
    )


def test_acts_of_staff_are_in_the_log(worked: Service) -> None:
    with worked.app.state.desk.database.read() as session:
        rows = session.query(AuditRow).all()
    assert [(r.actor, r.action, r.scope, r.target) for r in rows] == [
        ("ines", "assignment.publish", "c1", "sums")
    ]


def test_everything_of_one_person_as_a_file(worked: Service) -> None:
    answer = ask(worked, "GET", "/people/ada/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        about = json.loads(made.read("coursework.json"))
        assert "submissions/c1/sums/attempt-1.tar" in made.namelist()
    assert [row["username"] for row in about["submissions"]] == ["ada"]
    assert about["certificates"][0]["name"] == "에이다"
    assert "bob" not in json.dumps(about)


def test_an_erased_person_is_nowhere_and_the_figures_stay(worked: Service) -> None:
    body = {"pseudonym": PSEUDONYM, "actor": "root"}
    for _ in range(2):
        assert ask(worked, "POST", "/people/ada/erase", json=body).status_code == 204
    assert ask(worked, "GET", "/completions").json() == {"autumn": 1}
    with worked.app.state.desk.database.read() as session:
        rows = session.query(Submission).order_by(Submission.username).all()
        assert [(r.username, r.size) for r in rows] == [("bob", rows[0].size), (PSEUDONYM, 0)]
        assert rows[0].size > 0
        assert rows[0].sha256 in named_blobs(session)
    with worked.app.state.desk.database.read() as session:
        everything = "".join(
            repr(row)
            for table in Base.metadata.tables.values()
            for row in session.execute(select(table))
        )
    assert "'ada'" not in everything
    assert "에이다" not in everything
    for change in ("UPDATE audit SET action = 'nothing'", "DELETE FROM audit"):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            worked.app.state.desk.database.write() as session,
        ):
            session.execute(text(change))


@pytest.mark.parametrize("name", ["minji.kim", "minji kim@kt.com"])
def test_all_that_came_of_someones_work_goes(database: Database, tmp_path: Path, name: str) -> None:
    """What running it gave, what staff wrote about it, nbgrader's own entry and folders, also
    under the name that nbgrader has for somebody whose user name makes no folder."""
    blobs = Blobs(tmp_path / "blobs")
    with database.write() as session:
        _graded(session, name)
        audit.note(session, "ines", "dates.set", "c1/autumn", name, f"{name} was ill")
    book = CourseBook.of(tmp_path, "c1", "autumn")
    student = student_id(name)
    with book.open() as opened:
        opened.add_student(student)
    steps = [book.folder / step / student for step in ("submitted", "autograded", "feedback")]
    for folder in steps:
        (folder / "sums").mkdir(parents=True)
    with database.write() as session:
        people.erase(session, blobs, tmp_path, name, PSEUDONYM, "root")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Feedback)) == 0
        assert session.scalars(select(Mark.comment)).all() == [""]
        assert session.scalars(select(Score.notebooks)).all() == [{}]
        assert session.scalars(select(Score.score)).all() == [2.0], "figures stay right"
        reasons = set(session.scalars(select(AuditRow.reason)))
    assert reasons == {"", f"{PSEUDONYM} was ill"}
    with book.open() as opened:
        assert opened.students == []
    assert [folder for folder in steps if folder.exists()] == []


def _graded(session: Session, name: str) -> None:
    """Somebody's attempt with a score, a comment and released feedback."""
    at, digest = datetime.now(UTC), hashlib.sha256(b"").hexdigest()
    attempt = Submission(
        id="sub-1",
        course="c1",
        cohort="autumn",
        assignment="sums",
        username=name,
        attempt=1,
        received_at=at,
        sha256=digest,
        size=1,
        late=False,
        key="key-12345678",
        notebooks=["sums"],
    )
    session.add(attempt)
    session.flush()
    score = Score(
        submission_id="sub-1",
        graded_at=at,
        score=2.0,
        max_score=3.0,
        raw_score=2.0,
        late_penalty=0.0,
        needs_manual=False,
        cells=[],
        flags=[],
        notebooks={"sums": digest},
    )
    session.add(score)
    session.flush()
    session.add(
        Mark(
            submission_id="sub-1",
            notebook="sums",
            cell="t1",
            points=1.0,
            comment=f"Well done, {name}",
            given_by="ines",
            given_at=at,
        )
    )
    session.add(
        Feedback(
            submission_id="sub-1",
            notebook="sums",
            sha256=digest,
            score_id=score.id,
            released_at=at,
            released_by="ines",
        )
    )


def test_only_a_pseudonym_may_take_a_name(worked: Service) -> None:
    body = {"pseudonym": "bob", "actor": "root"}
    assert ask(worked, "POST", "/people/ada/erase", json=body).status_code == 422
