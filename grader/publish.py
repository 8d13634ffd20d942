"""Publishing: nbgrader strips solutions and hidden tests, we keep the result by hash."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nbgrader.converters import GenerateAssignment, NbGraderException
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from traitlets.config import Config

from core.clock import now
from core.course import Assignment, Course, CourseError
from core.i18n import LANGUAGES, N_
from grader import explained
from grader.blobs import Blobs
from grader.exchange import archive
from grader.explained import Explained
from grader.gradebook import CourseBook, naive_utc
from grader.material import translate_release
from grader.models import Release


class Unpublishable(Explained):
    """Why an assignment cannot be published: for the instructor."""


def publish(
    book: CourseBook, course: Course, assignment: Assignment, blobs: Blobs
) -> tuple[list[str], dict[str, str]]:
    """Generate and store; names of the notebooks and the archive of each language.

    No learner's code runs here. Raises Unpublishable.
    """
    with _locked(book):
        _generate(book, course, assignment)
        release = book.path("release", ".", assignment.id)
        names = sorted(path.stem for path in release.glob("*.ipynb"))
        if not names:
            raise Unpublishable(
                N_("nbgrader made no notebook from assignments/%(assignment)s/."),
                assignment=assignment.id,
            )
        archives = {}
        for language in LANGUAGES:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / "release"
                shutil.copytree(release, folder)
                try:
                    translate_release(course, assignment.id, language, folder)
                except CourseError as error:
                    why = explained.of(error)
                    raise Unpublishable(why.sentence, **why.values) from None
                archives[language] = blobs.put(archive.build(folder))
    return names, archives


def record(
    session: Session,
    course: str,
    assignment: str,
    published: tuple[list[str], dict[str, str]],
    by: str,
) -> Release:
    """Write the new version's row; what is published already stays the same version."""
    names, archives = published
    newest = session.scalar(
        select(Release)
        .where(Release.course == course, Release.assignment == assignment)
        .order_by(Release.version.desc())
        .limit(1)
    )
    if newest is not None and newest.archives == archives:
        return newest
    last = session.scalar(
        select(func.max(Release.version)).where(
            Release.course == course, Release.assignment == assignment
        )
    )
    release = Release(
        course=course,
        assignment=assignment,
        version=(last or 0) + 1,
        notebooks=names,
        archives=archives,
        published_by=by,
        published_at=now(),
    )
    session.add(release)
    return release


@contextmanager
def _locked(book: CourseBook) -> Iterator[None]:
    """Nobody grades while the release and the gradebooks of all cohorts change together."""
    with book.lock(), ExitStack() as stack:
        for cohort in book.cohorts():
            stack.enter_context(cohort.lock())
        yield


class _Errors(logging.Handler):
    """Keeps what nbgrader logs as errors; its exceptions only say "see above"."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the last line, which names the error where it is a traceback."""
        last = record.getMessage().strip().splitlines()[-1]
        if not last.startswith(("There was an error", "Please see")):
            self.lines.append(last)

    def why(self) -> str:
        """All of it, shortened."""
        return "; ".join(dict.fromkeys(self.lines))[:1000]


def _generate(book: CourseBook, course: Course, assignment: Assignment) -> None:
    source = book.path("source", ".", assignment.id)
    shutil.rmtree(source, ignore_errors=True)
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        course.folder / "assignments" / assignment.id,
        source,
        ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"),
    )
    # Cohorts first: theirs can refuse, for they hold people's work.
    for cohort in book.cohorts():
        with tempfile.TemporaryDirectory() as nowhere:
            _define(cohort, assignment, release_directory=nowhere)
    _define(book, assignment)


def _define(book: CourseBook, assignment: Assignment, **options: str) -> None:
    """Make the release and write the assignment's cells into the gradebook."""
    directory = book.directory(assignment.id, **options)
    converter = GenerateAssignment(coursedir=directory, config=Config())
    converter.force = True
    said = _Errors()
    converter.log.addHandler(said)
    try:
        converter.start()
    except (NbGraderException, SystemExit) as error:
        raise Unpublishable(
            N_(
                "nbgrader could not make the learners' version. Check the nbgrader metadata and "
                "the solution marks in assignments/%(assignment)s/: %(detail)s"
            ),
            assignment=assignment.id,
            detail=said.why() or str(error),
        ) from error
    finally:
        converter.log.removeHandler(said)
    with book.open() as gradebook:
        gradebook.update_or_create_assignment(assignment.id, duedate=naive_utc(assignment.due))
