"""A course's nbgrader folder and gradebook: ``<state_dir>/gradebooks/<course>/``.

Laid out as nbgrader lays out a course, so that its own tools work on it. One process at a time
writes: `lock`. No learner's code runs in a process that can reach it.
"""

from __future__ import annotations

import fcntl
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
    """One course's folder."""

    folder: Path
    course: str

    @staticmethod
    def of(state_dir: Path, course: str) -> CourseBook:
        """The book of `course`, made when missing."""
        folder = state_dir / "gradebooks" / course
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return CourseBook(folder, course)

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

    def directory(self, assignment: str) -> Any:
        """nbgrader's own idea of this folder."""
        return CourseDirectory(
            root=str(self.folder),
            course_id=self.course,
            assignment_id=assignment,
            db_url=self.database,
            config=Config(),
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
        """A folder of one step, for example ``autograded``."""
        return self.folder / step / student / assignment

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
