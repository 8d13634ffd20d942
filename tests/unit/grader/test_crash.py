"""`kill -9` of service and worker while work comes in: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from nbgrader.api import Gradebook

from core import secrets
from core.settings import ROOT
from grader.blobs import Blobs
from grader.client import GraderClient
from grader.database import open_database
from grader.exchange import archive
from grader.exchange.client import Client
from grader.gradebook import CourseBook
from grader.models import Job, Score, Submission
from store.database import Database
from tests.grading import free_port
from tests.grading_course import COURSE, answered, source_notebook
from tests.grading_worker import settings

LEARNERS = 60
KILLS = 4
RIGHT = "def double(x):\n    return 2 * x"


@contextmanager
def process(module: str, folder: Path, port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process that tests may kill and replace; the last in the list is the living one."""
    lives: list[subprocess.Popen[bytes]] = []
    with (folder / f"{module}.log").open("ab") as log:
        try:
            lives.append(_start(module, folder, port, log.fileno()))
            yield lives
        finally:
            lives[-1].kill()
            lives[-1].wait()


def _start(module: str, folder: Path, port: int, log: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, str(folder), str(port)]
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))


def kill(lives: list[subprocess.Popen[bytes]], module: str, folder: Path, port: int) -> None:
    lives[-1].kill()
    lives[-1].wait()
    with (folder / f"{module}.log").open("ab") as log:
        lives.append(_start(module, folder, port, log.fileno()))


SERVICE, WORKER = "benchmarks._submit_service", "tests.grading_worker"


@pytest.mark.timeout(300)
def test_kill_9_of_service_and_worker(tmp_path: Path) -> None:
    port = free_port()
    source = tmp_path / "courses" / "bench" / "assignments" / "a1"
    source.mkdir(parents=True)
    (source / "sums.ipynb").write_text(json.dumps(source_notebook()))
    toml = COURSE.split("[[assignments]]")
    text = "[[assignments]]".join(toml[:2]).replace('"c1"', '"bench"').replace('"sums"', '"a1"')
    (source.parents[1] / "course.toml").write_text(text)
    given = settings(tmp_path, port)
    url = f"http://127.0.0.1:{port}/services/grader"
    with process(SERVICE, tmp_path, port) as service:
        wait(lambda: httpx.get(f"{url}/", trust_env=False).status_code > 0, tmp_path)
        with process(WORKER, tmp_path, port) as worker:
            cli = GraderClient(url, secrets.load(given.state_dir, "key-cli"))
            batch = cli.publish("bench", "a1")
            wait(lambda: cli.progress(batch).done == 1, tmp_path)
            data = archive.build_from({"sums.ipynb": answered(released(given.state_dir), RIGHT)})
            receipts: dict[str, str] = {}
            threads = [threading.Thread(target=hand_in, args=(url, k, data, receipts))
                       for k in range(6)]  # fmt: skip
            for thread in threads:
                thread.start()
            database = open_database(given.grader_database)
            for number in range(1, KILLS + 1):
                wait(lambda n=number: len(receipts) >= n * LEARNERS // (KILLS + 1), tmp_path)
                kill(service, SERVICE, tmp_path, port)
                wait(lambda n=number: graded(database) >= n * LEARNERS // (KILLS + 2), tmp_path)
                kill(worker, WORKER, tmp_path, port)
            for thread in threads:
                thread.join(120)
            wait(lambda: unfinished(database) == 0, tmp_path)
    check(given.state_dir, database, receipts)


def check(state: Path, database: Database, receipts: dict[str, str]) -> None:
    assert len(receipts) == LEARNERS
    with database.read() as session:
        rows = {s.username: s for s in session.query(Submission)}
        assert session.query(Submission).count() == LEARNERS
        assert {name: s.id for name, s in rows.items()} == receipts
        per_submission = [s.submission_id for s in session.query(Score)]
        assert sorted(per_submission) == sorted(receipts.values())
        assert {j.state for j in session.query(Job)} == {"done"}
    for row in rows.values():
        assert len(Blobs(state / "blobs").read(row.sha256)) == row.size
    book = CourseBook.of(state, "bench", "bench")
    with Gradebook(book.database, "bench") as gradebook:
        found = {s.student_id: s.score for s in gradebook.find_assignment("a1").submissions}
    assert found == dict.fromkeys(receipts, 5)


def hand_in(url: str, first: int, data: bytes, receipts: dict[str, str]) -> None:
    for number in range(first, LEARNERS, 6):
        name = f"l{number}"
        client = Client(url, f"lab-{name}", "en", delays=(0.2,) * 300)
        receipts[name] = client.submit("bench", "a1", data).id


def released(state: Path) -> bytes:
    return (CourseBook.of(state, "bench").path("release", ".", "a1") / "sums.ipynb").read_bytes()


def graded(database: Database) -> int:
    with database.read() as session:
        return session.query(Score).count()


def unfinished(database: Database) -> int:
    with database.read() as session:
        return session.query(Job).filter(Job.state.in_(("queued", "running"))).count()


def wait(holds: Callable[[], object], folder: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    logs = "\n".join(f.read_text()[-2000:] for f in folder.glob("*.log"))
    raise AssertionError(f"it did not happen within 90 s:\n{logs}")
