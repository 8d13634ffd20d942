"""nbgrader's folder and gradebook of a course, and of each of its cohorts.

    <state_dir>/gradebooks/<course>/                    source/, release/, what was published
    <state_dir>/gradebooks/<course>/cohorts/<cohort>/   gradebook.db, submitted/, autograded/

Laid out as nbgrader lays out a course, so that its own tools work on it. One process at a time
writes: `lock`. No learner's code runs in a process that can reach it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from nbgrader import api, dbutil
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config


def _schema_version() -> str:
    config = AlembicConfig()
    config.set_main_option("script_location", dbutil.ALEMBIC_DIR)
    return str(ScriptDirectory.from_config(config).get_current_head())


# nbgrader runs the command `alembic` for this, which a service's PATH need not have.
api.get_alembic_version = _schema_version


@dataclass(frozen=True)
class CourseBook:
    """A course's folder (what was published, and no people), or one of its cohorts'."""

    folder: Path
    course: str
    cohort: str = ""

    @staticmethod
    def of(state_dir: Path, course: str, cohort: str = "") -> CourseBook:
        """The book of `course` or of one of its cohorts; the folder is made when missing."""
        folder = state_dir / "gradebooks" / course
        if cohort:
            folder = folder / "cohorts" / cohort
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return CourseBook(folder, course, cohort)

    @property
    def whole_course(self) -> CourseBook:
        """The course's own book."""
        return CourseBook(self.folder.parents[1], self.course) if self.cohort else self

    def cohorts(self) -> list[CourseBook]:
        """The books of the course's cohorts that were begun."""
        found = sorted(self.folder.glob("cohorts/*/gradebook.db"))
        return [CourseBook(path.parent, self.course, path.parent.name) for path in found]

    @property
    def exists(self) -> bool:
        """Somebody began it; a course's own is begun by publishing."""
        return not self.cohort or (self.folder / "gradebook.db").exists()

    def begin(self, students: set[str]) -> None:
        """Begin a cohort's gradebook: the published assignments, and of the people whom the
        course's book knows from before cohorts had their own only `students`."""
        whole = self.whole_course
        with whole.lock(), self.lock():
            if self.exists or not (whole.folder / "gradebook.db").exists():
                return
            made = self.folder / "gradebook.new"
            made.unlink(missing_ok=True)
            shutil.copyfile(whole.folder / "gradebook.db", made)
            with Gradebook(f"sqlite:///{made}", self.course) as book:
                for student in [s.id for s in book.students if s.id not in students]:
                    book.remove_student(student)
                book.engine.dispose()
            made.replace(self.folder / "gradebook.db")

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the gradebook."""
        return f"sqlite:///{self.folder}/gradebook.db"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer per gradebook, over all workers of this machine."""
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def directory(self, assignment: str, **options: str) -> Any:
        """nbgrader's own idea of this folder."""
        return CourseDirectory(
            root=str(self.whole_course.folder),
            course_id=self.course,
            assignment_id=assignment,
            db_url=self.database,
            config=Config(),
            **options,
        )

    @contextmanager
    def open(self) -> Iterator[Any]:
        """The gradebook (nbgrader.api.Gradebook)."""
        with Gradebook(self.database, self.course) as book:
            try:
                yield book
            finally:
                book.engine.dispose()

    def path(self, step: str, student: str, assignment: str) -> Path:
        """A folder of one step, for example ``autograded``; what is published is the course's."""
        folder = self.whole_course.folder if step in ("source", "release") else self.folder
        return folder / step / student / assignment

    def resources(self, student: str, assignment: str, notebook: str) -> dict[str, Any]:
        """What nbgrader's preprocessors want to be told."""
        return {
            "unique_key": notebook,
            "output_files_dir": f"{notebook}_files",
            "nbgrader": {
                "student": student,
                "assignment": assignment,
                "notebook": notebook,
                "db_url": self.database,
            },
        }


def naive_utc(at: datetime | None) -> datetime | None:
    """nbgrader keeps times in UTC without a zone."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)
