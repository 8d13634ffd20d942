"""Grading from the queue: one job begins a run, further ones of the same assignment join it.

While one notebook runs in the sandbox, the next submission is sanitised and the one before is
scored. Each submission's result is stored, and its job finished, as soon as it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Assignment, CourseError
from core.i18n import N_
from core.log import event
from core.settings import Settings
from grader import dates, explained, intake, jobs, marks
from grader.autograde import Entry, Graded, Ungradable, release_notebook, settle
from grader.blobs import Blobs
from grader.explained import Explained
from grader.gpu import GpuGrading
from grader.gradebook import CourseBook
from grader.models import Job, Score, Submission
from grader.protocol import SandboxError
from grader.runner import Sandbox
from grader.submissions import is_newest, student_id
from grader.zygote.batch import ClassRun
from grader.zygote.sandbox import modules
from store.database import Database

_LOG = logging.getLogger("grader.worker")
PARALLEL = 3
"""Notebooks that run at once: each waits now and then, so one more than there are cores."""
_MOST = 500
"""Submissions of one run; then whoever waits for the gradebook gets it."""


class Unreadable(Explained):
    """A submission whose stored bytes cannot be graded, whatever is tried."""


@dataclass
class _Held:
    job: Job
    submission: Submission


class ClassWork:
    """One run over submissions of one assignment. `hold` and `drop` keep claims alive."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        sandbox: Sandbox,
        worker: str,
        assignment: Assignment,
        hold: Callable[[str], None],
        drop: Callable[[str], None],
        gpu: GpuGrading | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._sandbox = sandbox
        self._worker = worker
        self._assignment = assignment
        self._hold = hold
        self._drop = drop
        self._blobs = Blobs(settings.state_dir / "blobs")
        self._held: dict[Entry, _Held] = {}
        self._gpu = gpu

    def grade(self, first: Job) -> None:
        """Grade `first` and what else waits for the same assignment. Raises what stopped it.

        MustWait when it needs a GPU that is not to be had now.
        """
        book = book_of(self._settings, self._database, first.course, first.cohort)
        with book.lock(), self._place(book, first) as (sandbox, packages):
            language = self._settings.site.language
            run = ClassRun(book, sandbox, packages, language, PARALLEL)
            try:
                for entry, result in run.grade(self._submissions(first)):
                    self._store(self._held.pop(entry), result)
            except Exception as error:
                self._give_up(error)
                raise

    @contextmanager
    def _place(self, book: CourseBook, first: Job) -> Iterator[tuple[Sandbox, list[str]]]:
        """Where notebooks run: the worker's sandbox, or one that holds a GPU for this class."""
        packages = packages_of(book, self._assignment)
        if self._assignment.gpu is None or self._gpu is None:
            yield self._sandbox, packages
            return
        with self._gpu.leased(first.course, self._assignment, packages, first.id) as sandbox:
            yield sandbox, packages

    def _submissions(self, first: Job) -> Iterator[tuple[Entry, dict[str, bytes]]]:
        job: Job | None = first
        taken = 0
        while job is not None:
            taken += 1
            found = self._opened(job)
            if found is not None:
                yield found
            busy = {held.submission.username for held in self._held.values()}
            job = None
            if taken < _MOST:
                job = jobs.claim_alike(self._database, self._worker, first, busy)
            if job is not None:
                self._hold(job.id)

    def _opened(self, job: Job) -> tuple[Entry, dict[str, bytes]] | None:
        """The submission's files; None when the job failed already."""
        with self._database.read() as session:
            submission = session.get(Submission, job.submission_id)
            entry = entry_of(session, submission, self._assignment) if submission else None
        if submission is None or entry is None:
            self._fail(job, Unreadable(N_("This submission is no longer there.")))
            return None
        limits = self._settings.grader
        path = self._blobs.path(submission.sha256)
        if not path.is_file():
            text = N_("The file %(name)s is not in the store. Restore it from a backup.")
            self._fail(job, Unreadable(text, name=path.name))
            return None
        try:
            contents = intake.check(
                path,
                limits.max_submission_mb * 1_000_000,
                limits.max_files,
            )
        except intake.Unacceptable as error:
            self._fail(job, error)
            return None
        except OSError as error:
            text = N_("The submitted file cannot be read: %(detail)s")
            self._fail(job, Unreadable(text, detail=str(error)))
            return None
        self._held[entry] = _Held(job, submission)
        return entry, contents.files

    def _store(self, held: _Held, result: Graded | Exception) -> None:
        if isinstance(result, Exception):
            self._fail(held.job, result)
            return
        score = score_row(held.submission, result, self._blobs)
        with self._database.write() as session:
            if jobs.finish(session, held.job.id, self._worker):
                session.add(score)
        self._drop(held.job.id)
        event(_LOG, "job done", job=held.job.id)

    def _give_up(self, error: Exception) -> None:
        for held in self._held.values():
            self._fail(held.job, error)
        self._held.clear()

    def _fail(self, job: Job, error: Exception) -> None:
        lasting = isinstance(error, Unreadable | Ungradable | intake.Unacceptable | CourseError)
        if not isinstance(error, SandboxError) and not lasting:
            _LOG.error("grading failed", exc_info=error)
        why = explained.of(error)
        event(_LOG, "job failed", job=job.id, reason=str(why), again=not lasting)
        jobs.fail(self._database, job.id, self._worker, why.kept(), again=not lasting)
        self._drop(job.id)


def book_of(settings: Settings, database: Database, course: str, cohort: str) -> CourseBook:
    """A cohort's gradebook, begun from what the course's own knows of its people if it is new."""
    book = CourseBook.of(settings.state_dir, course, cohort)
    if not book.exists:
        with database.read() as session:
            own = session.scalars(
                select(Submission.username)
                .where(Submission.course == course, Submission.cohort.in_((cohort, "")))
                .distinct()
            )
            students = {student_id(name) for name in own}
        book.begin(students)
    return book


def entry_of(session: Session, submission: Submission, assignment: Assignment) -> Entry:
    """What grading has to know about a submission; under the gradebook's lock."""
    when = dates.of(session, submission.course, submission.cohort, assignment, submission.username)
    return Entry(
        student_id(submission.username),
        assignment.id,
        submission.received_at,
        is_newest(session, submission),
        when.seconds_late(submission.received_at),
        when.late,
        marks.of(session, submission.id),
    )


def rescore(book: CourseBook, entry: Entry, last: Score) -> Score:
    """A new score from the last one's runs, with what was given by hand and lateness anew.

    Hold `book.lock`."""
    told = ("outcome", "why", "seen")
    details = {(c["notebook"], c["cell"]): {k: c[k] for k in told if k in c} for c in last.cells}
    graded = settle(book, entry, details)
    return Score(
        submission_id=last.submission_id,
        graded_at=now(),
        score=graded.score,
        max_score=graded.max_score,
        raw_score=graded.raw_score,
        late_penalty=graded.late_penalty,
        needs_manual=graded.needs_manual,
        cells=graded.cells,
        flags=last.flags,
        notebooks=last.notebooks,
    )


def packages_of(book: CourseBook, assignment: Assignment) -> list[str]:
    """What is imported once for all: the course's list and what the released notebooks import."""
    names = {path.stem for path in book.path("release", ".", assignment.id).glob("*.ipynb")}
    found = {p for name in names for p in modules(release_notebook(book, assignment.id, name))}
    return sorted({*assignment.packages, *found})


def score_row(submission: Submission, graded: Graded, blobs: Blobs) -> Score:
    """A result as the database keeps it; executed notebooks become blobs first."""
    return Score(
        submission_id=submission.id,
        graded_at=now(),
        score=graded.score,
        max_score=graded.max_score,
        raw_score=graded.raw_score,
        late_penalty=graded.late_penalty,
        needs_manual=graded.needs_manual,
        cells=graded.cells,
        flags=graded.flags,
        notebooks={name: blobs.put(data) for name, data in graded.notebooks.items()},
    )
