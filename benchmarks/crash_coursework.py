"""`kill -9` of the grader's service and workers while a class hands in and is graded.

    ./dli bench crash-coursework [--n 2000] [--profile postgresql]

`n` learners hand in one notebook each, which is graded at once; meanwhile service and workers are
killed in turn, one kill for each ten submissions, and started anew. Afterwards every receipt's
bytes must be there, each submission must have been graded exactly once (one score, and the right
points in the cohort's gradebook), and no grading container may outlive its worker. The real
service, queue, worker, gradebook and grading containers; claims are short, so that what a dead
worker held is soon taken up again. tests/unit/grader/test_crash.py is the short form.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
from nbgrader.api import Gradebook
from sqlalchemy import func, select

from benchmarks._nursery import Nursery, kill
from core import secrets
from grader.blobs import Blobs
from grader.client import GraderClient
from grader.database import open_database
from grader.exchange import archive
from grader.exchange.client import Client
from grader.gradebook import CourseBook
from grader.models import Job, Score, Submission
from store.database import Database
from tests.grading_course import COURSE, answered, source_notebook
from tests.grading_worker import settings
from tests.ports import free_ports
from tests.unit.usage import postgres

SUBMISSIONS_PER_KILL = 10
SENDERS = 6
SERVICE, WORKER = "benchmarks._submit_service", "tests.grading_worker"
RIGHT = "def double(x):\n    return 2 * x"
POINTS = 3.5
"""What `RIGHT` earns: the second test gives half of its marks, so only a real run comes to this."""
PATIENCE_S = 300.0
OUTLIVE_S = 30.0


@dataclass
class Crashes:
    """What came of it; all but `submissions`, `kills`, `graded` and `seconds` must be zero."""

    submissions: int
    kills: int = 0
    graded: int = 0
    lost: int = 0
    """Receipts without row or bytes."""
    doubled: int = 0
    """Submissions without a receipt of theirs, or graded more than once."""
    ungraded: int = 0
    """Submissions without a score, or not with the right points in the gradebook."""
    parked: int = 0
    outlived: int = 0
    """Grading containers still there when all workers are gone."""
    seconds: float = 0


@dataclass
class World:
    """Processes that are killed and replaced, and what learners were told."""

    folder: Path
    database: str
    port: int = field(default_factory=lambda: free_ports(1)[0])
    receipts: dict[str, str] = field(default_factory=dict)
    allowed: int = 0
    """Learners who may have handed in by now, so that there is work at every kill."""

    @property
    def url(self) -> str:
        """The service's address."""
        return f"http://127.0.0.1:{self.port}/services/grader"

    def start(self, nursery: Nursery, module: str) -> int:
        """One more process; its id."""
        log = self.folder / f"{module}.log"
        return nursery.start(module, log, str(self.folder), self.port, self.database)

    @contextmanager
    def process(self, nursery: Nursery, module: str) -> Iterator[list[int]]:
        """A process with its replacements, by id; the last of the list lives."""
        lives = [self.start(nursery, module)]
        try:
            yield lives
        finally:
            kill(lives[-1])

    def replace(self, nursery: Nursery, lives: list[int], module: str) -> None:
        """SIGKILL, and another one in its place."""
        kill(lives[-1])
        lives.append(self.start(nursery, module))

    def wait(self, holds: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        """Until it holds. Raises RuntimeError with the logs' ends."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if holds():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        logs = "\n".join(f.read_text()[-2000:] for f in self.folder.glob("*.log"))
        raise RuntimeError(f"it did not happen within {seconds:g} s:\n{logs}")


def main(
    say: Callable[[str], None], n: int = 2000, profile: str = "sqlite"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run it; rows and figures."""
    if profile not in ("sqlite", "postgresql"):
        raise ValueError(f"profile {profile!r}: sqlite or postgresql")
    server = postgres.server(durable=True) if profile == "postgresql" else nullcontext("")
    with tempfile.TemporaryDirectory(prefix="dli-crash-") as folder, server as url:
        found = run(World(Path(folder), url), n, n // SUBMISSIONS_PER_KILL, say)
    figures = vars(found) | {"seconds": round(found.seconds, 1)}
    return [{"database": profile} | figures], figures


def run(world: World, learners: int, kills: int, say: Callable[[str], None]) -> Crashes:
    """Hand in and grade under `kills` kills. Raises RuntimeError when it gets stuck."""
    begun = time.monotonic()
    found = Crashes(learners)
    _write_course(world.folder)
    given = settings(world.folder, world.port, world.database)
    with ExitStack() as stack:
        nursery = stack.enter_context(Nursery(SERVICE, WORKER))
        service = stack.enter_context(world.process(nursery, SERVICE))
        world.wait(lambda: httpx.get(f"{world.url}/healthz", trust_env=False).is_success)
        workers = [stack.enter_context(world.process(nursery, WORKER)) for _ in range(2)]
        data = _published(world, given.state_dir)
        database = open_database(given.grader_database)
        stack.callback(database.close)
        senders = [
            threading.Thread(target=_hand_in, args=(world, k, learners, data))
            for k in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        for number in range(1, kills + 1):
            say(f"{found.kills} kills, {len(world.receipts)} receipts, {_graded(database)} graded")
            world.allowed = (number + 1) * learners // (kills + 1) + SENDERS
            if number % 2:
                aim = number * learners // (kills + 1)
                world.wait(lambda aim=aim: len(world.receipts) >= aim)  # type: ignore[misc]
                world.replace(nursery, service, SERVICE)
            else:
                aim = number * learners // (kills + 2)
                world.wait(lambda aim=aim: _graded(database) >= aim)  # type: ignore[misc]
                world.replace(nursery, workers[number // 2 % 2], WORKER)
            found.kills += 1
        world.allowed = learners
        for sender in senders:
            sender.join()
        world.wait(lambda: not _unfinished(database))
        _judge(world, database, given.state_dir, found)
    found.outlived = _outlived(world, given.instance)
    found.seconds = time.monotonic() - begun
    return found


def _judge(world: World, database: Database, state: Path, found: Crashes) -> None:
    blobs = Blobs(state / "blobs")
    with database.read() as session:
        rows = {s.id: s for s in session.scalars(select(Submission))}
        scores = session.scalars(select(Score.submission_id)).all()
        found.parked = session.query(Job).filter(Job.state == "parked").count()
    for receipt in world.receipts.values():
        row = rows.get(receipt)
        found.lost += row is None or not _whole(blobs, row)
    found.doubled = len(rows) - len(world.receipts) + len(scores) - len(set(scores))
    found.graded = len(set(scores))
    with Gradebook(CourseBook.of(state, "bench", "bench").database, "bench") as book:
        points = {s.student_id: s.score for s in book.find_assignment("a1").submissions}
    found.ungraded = len(set(rows) - set(scores)) + sum(
        points.get(name) != POINTS for name in world.receipts
    )


def _outlived(world: World, instance: str) -> int:
    """Containers end by themselves when nobody holds their input any more; those that do not."""
    with closing(docker.from_env()) as client:
        mine = {"all": True, "filters": {"label": f"dli.instance={instance}"}}
        try:
            world.wait(lambda: not client.containers.list(**mine), seconds=OUTLIVE_S)
        except RuntimeError:
            left = client.containers.list(**mine)
            for container in left:
                container.remove(force=True)
            return len(left)
    return 0


def _whole(blobs: Blobs, row: Submission) -> bool:
    try:
        data = blobs.read(row.sha256)
    except FileNotFoundError:
        return False
    return (len(data), hashlib.sha256(data).hexdigest()) == (row.size, row.sha256)


def _write_course(folder: Path) -> None:
    source = folder / "courses" / "bench" / "assignments" / "a1"
    source.mkdir(parents=True)
    (source / "sums.ipynb").write_text(json.dumps(source_notebook()))
    toml = COURSE.split("[[assignments]]")
    text = "[[assignments]]".join(toml[:2]).replace('"c1"', '"bench"').replace('"sums"', '"a1"')
    (folder / "courses" / "bench" / "course.toml").write_text(text)


def _published(world: World, state: Path) -> bytes:
    """Publish; the archive of somebody who solved it."""
    cli = GraderClient(world.url, secrets.load(state, "key-cli"))
    batch = cli.publish("bench", "a1")
    world.wait(lambda: cli.progress(batch).done == 1)
    cli.close()
    released = CourseBook.of(state, "bench").path("release", ".", "a1") / "sums.ipynb"
    return archive.build_from({"sums.ipynb": answered(released.read_bytes(), RIGHT)})


def _hand_in(world: World, first: int, learners: int, data: bytes) -> None:
    for number in range(first, learners, SENDERS):
        name = f"l{number}"
        while number >= world.allowed:
            time.sleep(0.05)
        client = Client(world.url, f"lab-{name}", "en", delays=(0.2,) * 600)
        world.receipts[name] = client.submit("bench", "a1", data).id


def _graded(database: Database) -> int:
    with database.read() as session:
        return int(session.scalar(select(func.count()).select_from(Score)) or 0)


def _unfinished(database: Database) -> int:
    open_jobs = select(func.count()).where(Job.state.in_(("queued", "running")))
    with database.read() as session:
        return int(session.scalar(open_jobs) or 0)
