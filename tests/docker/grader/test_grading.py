"""Publish, submit, grade in real containers, release, read; and scores beside nbgrader's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from core import secrets
from core.clock import now
from core.log import setup
from grader import dates, jobs
from grader.client import GraderClient, GraderRefused
from grader.exchange import archive
from grader.exchange.client import Refused
from grader.gradebook import CourseBook
from grader.models import Mark, Score, Submission
from grader.worker import Worker
from grader.zygote.sandbox import ZygoteSandbox
from tests.grading import Service, running
from tests.grading_course import DOCUMENTATION, answered
from tests.sandbox import leftovers, sandbox

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Worker]]:
    """Both assignments published, nothing submitted yet."""
    setup()
    with running(tmp_path_factory.mktemp("grader")) as service:
        box = sandbox(service.settings)
        worker = service.worker(box)
        client = cli(service)
        for assignment in ("sums", "ps1"):
            batch = client.publish("c1", assignment)
            drain(worker)
            assert client.progress(batch).done == 1
        yield service, worker
        box.close()
        assert leftovers(service.settings) == []


def cli(service: Service) -> GraderClient:
    return GraderClient(service.url, secrets.load(service.settings.state_dir, "key-cli"))


def drain(worker: Worker) -> None:
    while worker.step():
        pass


def released(service: Service) -> bytes:
    folder = CourseBook.of(service.settings.state_dir, "c1").path("release", ".", "sums")
    return (folder / "sums.ipynb").read_bytes()


def submit(service: Service, name: str, solution: str, *more: str) -> str:
    data = archive.build_from({"sums.ipynb": answered(released(service), solution, *more)})
    return service.client(name).submit("c1", "sums", data).id


def score(service: Service, submission: str) -> Score:
    from grader.submissions import scores_of

    with service.app.state.desk.database.read() as session:
        return scores_of(session, [submission])[submission]


def test_the_whole_path(graded: tuple[Service, Worker]) -> None:
    service, worker = graded
    client = cli(service)
    right = submit(
        service,
        "ada",
        "def double(x):\n    return 2 * x",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    )
    wrong = submit(service, "bob", "def double(x):\n    return 2 if x == 1 else 0")
    with pytest.raises(GraderRefused, match="no such course"):
        client.grade("c1", "nothing")
    batch = client.grade("c1", "sums")
    assert client.progress(batch).total == 2
    drain(worker)
    progress = client.progress(batch)
    assert (progress.done, progress.parked, progress.finished) == (2, 0, True)
    assert (score(service, right).score, score(service, right).max_score) == (3.5, 5)
    assert score(service, wrong).score == 0
    rows = {r.username: r for r in client.results("c1", "sums")}
    assert (rows["ada"].state, rows["ada"].score, rows["bob"].score) == ("graded", 3.5, 0)
    with pytest.raises(Refused, match="no feedback"):
        service.client("ada").feedback(right, "sums")
    client.release_feedback("c1", "sums")
    drain(worker)
    page = service.client("bob").feedback(wrong, "sums").decode()
    assert "A hidden test of this cell failed" in page
    assert "the-secret" not in page
    assert "double(21)" not in page
    assert "data:image/png" in service.client("ada").feedback(right, "sums").decode()
    with pytest.raises(Refused, match="no feedback"):
        service.client("bob").feedback(right, "sums")
    text = client.export("c1")["autumn"]
    assert text.splitlines()[0] == (
        "assignment,duedate,timestamp,student_id,last_name,first_name,email,raw_score,"
        "late_submission_penalty,score,max_score"
    )
    assert any(",ada," in line and line.endswith("3.5,0.0,3.5,5.0") for line in text.splitlines())


def test_one_damaged_submission_stops_nobody(graded: tuple[Service, Worker]) -> None:
    service, worker = graded
    good = submit(service, "cleo", "def double(x):\n    return x + x")
    bad = submit(service, "dora", "def double(x):\n    return x + x")
    with service.app.state.desk.database.read() as session:
        row = session.get(Submission, bad)
    blob = service.app.state.desk.blobs.path(row.sha256)
    other = service.app.state.desk.blobs.put(b"not a tar at all")
    with service.app.state.desk.database.write() as session:
        session.get(Submission, bad).sha256 = other
    assert blob.exists()
    batch = cli(service).grade("c1", "sums")
    drain(worker)
    progress = cli(service).progress(batch)
    assert (progress.done, progress.parked) == (1, 1)
    assert "tar" in progress.reasons[0]
    assert score(service, good).score == 3.5


def test_no_docker_is_tried_again_then_parked_with_the_reason(
    graded: tuple[Service, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, worker = graded
    submit(service, "emil", "def double(x):\n    return x + x")
    monkeypatch.setattr("grader.jobs.RETRY_SECONDS", (0, 0, 0))
    broken = worker.settings.model_copy(
        update={"labs": worker.settings.labs.model_copy(update={"sandbox_image": "dli/none:1"})}
    )
    batch = cli(service).grade("c1", "sums")
    with ZygoteSandbox(broken) as none:
        drain(service.worker(none))
    progress = cli(service).progress(batch)
    assert progress.done == 0
    assert any("dli/none:1 is missing" in reason for reason in progress.reasons)


def test_scores_equal_nbgraders(graded: tuple[Service, Worker], tmp_path: Path) -> None:
    """nbgrader's documentation course, both submissions, cell by cell."""
    service, worker = graded
    people = {"bitdiddle": "ada", "hacker": "bob"}
    for folder, name in people.items():
        root = DOCUMENTATION / "submitted" / folder / "ps1"
        files = {
            p.relative_to(root).as_posix(): p.read_bytes()
            for p in root.rglob("*")
            if p.is_file() and p.name != "timestamp.txt"
        }
        service.client(name).submit("c1", "ps1", archive.build_from(files))
    cli(service).grade("c1", "ps1")
    drain(worker)
    book = CourseBook.of(service.settings.state_dir, "c1", "autumn")
    ours = cells(Gradebook(book.database, "c1"), people.values())
    theirs = cells(plain_nbgrader(tmp_path, people), people.values())
    assert ours == theirs
    assert len(ours) == 18


def cells(book: Any, people: Any) -> dict[tuple[str, str, str], tuple[float, float, bool]]:
    found = {}
    for name in people:
        for notebook in book.find_submission("ps1", name).notebooks:
            for grade in notebook.grades:
                found[(name, notebook.name, grade.name)] = (
                    grade.score,
                    grade.max_score,
                    bool(grade.needs_manual_grade),
                )
    return found


def plain_nbgrader(folder: Path, people: dict[str, str]) -> Any:
    """The same submissions through nbgrader itself."""
    shutil.copytree(DOCUMENTATION / "source" / "ps1", folder / "source" / "ps1")
    for source, name in people.items():
        shutil.copytree(
            DOCUMENTATION / "submitted" / source / "ps1", folder / "submitted" / name / "ps1"
        )
    directory = CourseDirectory(root=str(folder), course_id="c1", assignment_id="ps1")
    GenerateAssignment(coursedir=directory, config=Config()).start()
    Autograde(coursedir=directory, config=Config()).start()
    return Gradebook(directory.db_url, "c1")


def test_the_newest_attempts_grades_stay_in_the_gradebook(
    graded: tuple[Service, Worker],
) -> None:
    """Attempts are graded as they arrive; grading an old one again leaves no trace."""
    service, worker = graded
    first = submit(service, "cleo", "def double(x):\n    return 0")
    second = submit(service, "cleo", "def double(x):\n    return x + x")
    drain(worker)
    assert (score(service, first).score, score(service, second).score) == (0, 3.5)
    with service.app.state.desk.database.write() as session:
        jobs.ask(session, "grade", ("c1", "sums", first), "ines")
    drain(worker)
    assert score(service, first).score == 0
    assert in_book(service, "cleo") == (3.5, 0)
    seen = {cell["cell"]: cell["seen"] for cell in score(service, second).cells}
    assert seen == {"test-double": "pass", "test-array": "pass"}


def in_book(service: Service, name: str) -> tuple[float, float]:
    """Score before penalty, and penalty."""
    book = CourseBook.of(service.settings.state_dir, "c1", "autumn")
    with book.open() as gradebook:
        found = gradebook.find_submission("sums", name)
        return found.score, sum(n.late_submission_penalty or 0 for n in found.notebooks)


def test_dates_and_marks_change_a_score_that_was_given(graded: tuple[Service, Worker]) -> None:
    service, worker = graded
    database = service.app.state.desk.database
    mine = submit(service, "dora", "def double(x):\n    return x + x")
    drain(worker)
    course = service.app.state.desk.courses["c1"]
    item = course.assignment("sums")
    with database.write() as session:
        past = dates.Given(due=now() - timedelta(hours=30))
        dates.change(session, "c1", "autumn", item, "", past, "ines")
        session.add(
            Mark(submission_id=mine, notebook="sums", cell="test-double", points=1.0,
                 comment="half", given_by="ines", given_at=now())
        )  # fmt: skip
    drain(worker)
    assert (score(service, mine).score, score(service, mine).late_penalty) == (2.0, 0.5)
    assert in_book(service, "dora") == (2.5, 0.5)
    with database.read() as session:
        assert session.get(Submission, mine).late
    with database.write() as session:
        dates.extend(session, "c1", "autumn", item, "dora", "ines")
    drain(worker)
    assert (score(service, mine).score, score(service, mine).late_penalty) == (2.5, 0)
    with database.read() as session:
        assert not session.get(Submission, mine).late
    with database.write() as session:
        dates.change(session, "c1", "autumn", item, "", dates.Given(), "ines")
    drain(worker)
