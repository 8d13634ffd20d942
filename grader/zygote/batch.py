"""A class at once: nbgrader's steps in this thread, notebooks in the sandbox meanwhile.

While one submission's learner code runs, the next ones are sanitised and earlier ones scored. The
gradebook has one writer and each submission's scores are one transaction.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from grader import autograde
from grader.autograde import Entry, Graded, Prepared
from grader.gradebook import CourseBook
from grader.protocol import Outcome
from grader.runner import Sandbox, Task
from grader.zygote.onebook import Kept, kept


@dataclass
class Phases:
    """Where the seconds went. Sandbox seconds overlap with the others and with each other."""

    sanitise: float = 0.0
    score: float = 0.0
    waiting: float = 0.0
    """This thread had nothing to do until a sandbox answered."""
    sandbox: float = 0.0


@dataclass
class _Pending:
    entry: Entry
    files: dict[str, bytes]
    prepared: list[Prepared]
    answer: Future[dict[str, Outcome]]


@dataclass
class ClassRun:
    """One assignment of one course, to be graded for many. Hold `book.lock` while iterating."""

    book: CourseBook
    sandbox: Sandbox
    packages: list[str]
    language: str = "en"
    parallel: int = 2
    phases: Phases = field(default_factory=Phases)

    def grade(
        self, submissions: Iterable[tuple[Entry, dict[str, bytes]]]
    ) -> Iterator[tuple[Entry, Graded | Exception]]:
        """Each submission with its result, in order; one that fails does not stop the others."""
        pending: deque[_Pending] = deque()
        with kept(self.book) as gradebook, ThreadPoolExecutor(self.parallel) as pool:
            for entry, files in submissions:
                try:
                    prepared = self._prepare(entry, files)
                except Exception as error:
                    self._forget(gradebook, pending)
                    yield entry, error
                    continue
                own = autograde.instructor_files(self.book, entry.assignment)
                answer = pool.submit(self._run, prepared, files | own)
                pending.append(_Pending(entry, files, prepared, answer))
                if len(pending) > 2 * self.parallel:
                    yield self._finish(gradebook, pending.popleft(), pending)
            while pending:
                yield self._finish(gradebook, pending.popleft(), pending)

    def _prepare(self, entry: Entry, files: dict[str, bytes]) -> list[Prepared]:
        begun = time.monotonic()
        prepared = autograde.prepare(self.book, entry, files)
        self.phases.sanitise += time.monotonic() - begun
        return prepared

    def _forget(self, gradebook: Kept, pending: Iterable[_Pending]) -> None:
        """Undo what is not committed; submissions under way have to be entered again."""
        gradebook.rollback()
        for other in pending:
            autograde.prepare(self.book, other.entry, other.files)

    def _run(self, prepared: list[Prepared], files: dict[str, bytes]) -> dict[str, Outcome]:
        begun = time.monotonic()
        others = {n: data for n, data in files.items() if not n.endswith(".ipynb")}
        ran = {p.name: self.sandbox.run(Task(p.cells, others, self.packages, p.names))
               for p in prepared}  # fmt: skip
        self.phases.sandbox += time.monotonic() - begun
        return ran

    def _finish(
        self, gradebook: Kept, one: _Pending, pending: Iterable[_Pending]
    ) -> tuple[Entry, Graded | Exception]:
        begun = time.monotonic()
        try:
            ran = one.answer.result()
            answered = time.monotonic()
            self.phases.waiting += answered - begun
            graded = autograde.finish(self.book, one.entry, one.prepared, ran, self.language)
            if one.entry.counts:
                gradebook.commit()
            else:
                self._forget(gradebook, pending)
            self.phases.score += time.monotonic() - answered
        except Exception as error:
            self._forget(gradebook, pending)
            return one.entry, error
        return one.entry, graded
