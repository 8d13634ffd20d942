"""The grading worker: ``python -m grader.worker``. Claims jobs one at a time until it is stopped.

It writes gradebooks and scores, and reaches Docker through `grader.zygote` alone. It asks the Hub
for nothing and opens no port.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable
from types import FrameType

from sqlalchemy.exc import SAWarning, SQLAlchemyError

from core import course as courses
from core import log, settings
from core.course import Assignment, Course, CourseError
from core.i18n import N_
from core.log import event
from core.settings import Settings
from grader import autograde, certificates, explained, feedback, jobs, publish
from grader.blobs import Blobs
from grader.classwork import PARALLEL, ClassWork, book_of, entry_of, packages_of, rescore
from grader.database import open_database
from grader.explained import Explained
from grader.gpu import GpuGrading, MustWait
from grader.gradebook import CourseBook
from grader.models import Job, Score, Submission
from grader.protocol import SandboxError
from grader.runner import Sandbox
from grader.submissions import latest, scores_of
from grader.zygote.sandbox import ZygoteSandbox
from store.database import Database

_LOG = logging.getLogger("grader.worker")
_IDLE_SECONDS = 0.5
_RENEW_SECONDS = 15


class Parked(Explained):
    """A job that no further try can save: for the instructor."""


class Worker:
    """Does jobs. `name` marks its claims."""

    def __init__(self, settings: Settings, database: Database, sandbox: Sandbox) -> None:
        self.settings = settings
        self.database = database
        self.sandbox = sandbox
        self.gpu = GpuGrading(settings)
        self.blobs = Blobs(settings.state_dir / "blobs")
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._claims: set[str] = set()
        self._kinds: dict[str, Callable[[Job], None]] = {
            "publish": self._publish,
            "grade": self._grade,
            "rescore": self._rescore,
            "feedback": self._feedback,
        }

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the job at hand is finished first."""
        while not stop.is_set():
            if not self.step():
                stop.wait(_IDLE_SECONDS)

    def step(self) -> bool:
        """Do one job; False when there was none."""
        try:
            job = jobs.claim(self.database, self.name)
        except SQLAlchemyError:
            _LOG.exception("the database did not answer")
            return False
        if job is None:
            return False
        event(_LOG, "job begins", job=job.id, kind=job.kind, submission=job.submission_id)
        self._claims.clear()
        self._claims.add(job.id)
        with _Renewal(self.database, self._claims, self.name):
            self._do(job)
        return True

    def _do(self, job: Job) -> None:
        try:
            self._kinds[job.kind](job)
            event(_LOG, "job ends", job=job.id)
        except (Parked, publish.Unpublishable, autograde.Ungradable, CourseError) as error:
            self._failed(job, error, again=False)
        except MustWait as wait:
            event(_LOG, "job waits", job=job.id, reason=str(wait))
            jobs.postpone(self.database, job.id, self.name, wait.kept())
        except SandboxError as error:
            self._failed(job, error, again=True)
        except Exception as error:
            _LOG.exception("job failed")
            self._failed(job, error, again=True)

    def _failed(self, job: Job, error: Exception, again: bool) -> None:
        why = explained.of(error)
        event(_LOG, "job failed", job=job.id, reason=str(why), again=again)
        jobs.fail(self.database, job.id, self.name, why.kept(), again)

    def _course(self, job: Job) -> tuple[Course, Assignment]:
        folder = self.settings.courses_dir / job.course
        course = courses.load(folder, self.settings.labs.images)
        assignment = course.assignment(job.assignment)
        if assignment is None:
            raise Parked(
                N_("The course.toml of %(course)s no longer has the assignment %(assignment)s."),
                course=job.course,
                assignment=job.assignment,
            )
        return course, assignment

    def _publish(self, job: Job) -> None:
        course, assignment = self._course(job)
        book = CourseBook.of(self.settings.state_dir, course.id)
        made = publish.publish(book, course, assignment, self.blobs)
        with self.database.write() as session:
            if jobs.finish(session, job.id, self.name):
                publish.record(session, course.id, assignment.id, made, job.requested_by)
        if assignment.autograde and assignment.gpu is None:
            self._make_ready(packages_of(book, assignment))

    def _make_ready(self, packages: list[str]) -> None:
        """Start the grading container, so that the first submission need not wait for it."""
        if isinstance(self.sandbox, ZygoteSandbox):
            try:
                self.sandbox.start(packages)
            except SandboxError as error:
                event(_LOG, "grading container not ready", reason=str(error))

    def _grade(self, job: Job) -> None:
        _course, assignment = self._course(job)
        work = ClassWork(
            self.settings, self.database, self.sandbox, self.name, assignment,
            self._claims.add, self._claims.discard, self.gpu,
        )  # fmt: skip
        work.grade(job)

    def _rescore(self, job: Job) -> None:
        """Marks or dates changed: the last attempt's score follows. Older attempts do not count."""
        _course, assignment = self._course(job)
        book = book_of(self.settings, self.database, job.course, job.cohort)
        with book.lock():  # before reading: a class that is being graded writes its scores first
            with self.database.read() as session:
                submission = session.get(Submission, job.submission_id)
                last = scores_of(session, [job.submission_id]).get(job.submission_id)
                entry = entry_of(session, submission, assignment) if submission else None
            score = rescore(book, entry, last) if entry and last and entry.counts else None
        with self.database.write() as session:
            if jobs.finish(session, job.id, self.name) and score and submission:
                shown = certificates.released_score(session, submission)
                session.add(score)
                if shown and _penalty_alone(shown, score):  # released work, other dates
                    target = (job.course, job.assignment, submission.id)
                    jobs.ask(session, "feedback", target, job.requested_by)

    def _feedback(self, job: Job) -> None:
        course, _assignment = self._course(job)
        with self.database.read() as session:
            attempts = latest(session, job.course, job.assignment, cohort=job.cohort)
            if job.submission_id:  # one learner's alone
                attempts = [a for a in attempts if a.id == job.submission_id]
            scores = scores_of(session, (a.id for a in attempts))
        graded = [(a, scores[a.id]) for a in attempts if a.id in scores]
        if not graded:
            raise Parked(N_("Nothing is graded yet. Grade the submissions first."))
        book = book_of(self.settings, self.database, job.course, job.cohort)
        pages, failed = feedback.render_all(book, self.blobs, graded)
        with self.database.write() as session:
            feedback.release(session, pages, job.requested_by)
            session.flush()
            for username in sorted({attempt.username for attempt, _score in graded}):
                certificates.issue(session, course, job.cohort, username)
            if not failed:
                jobs.finish(session, job.id, self.name)
        if failed:
            raise Parked(
                N_("The feedback of these people could not be made: %(failed)s"),
                failed="; ".join(failed),
            )


def _penalty_alone(old: Score, new: Score) -> bool:
    return old.raw_score == new.raw_score and old.late_penalty != new.late_penalty


class _Renewal:
    """Renews claims in the background while their jobs are worked on."""

    def __init__(self, database: Database, claims: set[str], worker: str) -> None:
        self._database = database
        self._claims = claims
        self._worker = worker
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_RENEW_SECONDS):
            for job in tuple(self._claims):
                try:
                    jobs.renew(self._database, job, self._worker)
                except SQLAlchemyError:  # the next time may go well; the thread has to live
                    _LOG.exception("could not renew a claim")


def main() -> None:
    """Run one worker until SIGTERM or SIGINT."""
    log.setup()
    # nbgrader's own way with sessions; nothing of ours
    warnings.filterwarnings("ignore", category=SAWarning, module=r"nbgrader\.api")
    configured = settings.load()
    database = open_database(configured.grader_database)
    database.migrate()
    sandbox = ZygoteSandbox(configured, PARALLEL)
    try:
        sandbox.remove_leftovers()
    except SandboxError as error:
        event(_LOG, "Docker does not answer", reason=str(error))
    stop = threading.Event()

    def stopping(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, stopping)
    signal.signal(signal.SIGINT, stopping)
    event(_LOG, "worker begins")
    with sandbox:
        Worker(configured, database, sandbox).run(stop)
    event(_LOG, "worker ends")


if __name__ == "__main__":
    main()
