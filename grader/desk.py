"""What every route of the service needs: courses, who may do what, storage."""

from __future__ import annotations

import logging
import time
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from core import course as courses
from core import secrets
from core.course import Assignment, Course, CourseError
from core.log import event
from core.settings import Settings
from grader.access import Access, AccessBook, AccessUnknown
from grader.blobs import Blobs
from grader.database import open_database
from usage.client import UsageClient
from web.auth import Person
from web.i18n import gettext as _

_LOG = logging.getLogger("grader")
_COURSES_SECONDS = 5.0


class Desk:
    """One per service."""

    def __init__(self, settings: Settings) -> None:
        """Migrates the database. Raises CourseError, FileNotFoundError (no secrets yet)."""
        self.settings = settings
        self.database = open_database(settings.grader_database)
        self.database.migrate()
        self.blobs = Blobs(settings.state_dir / "blobs")
        self.receipt_key = secrets.load(settings.state_dir, "receipt")
        usage = f"http://127.0.0.1:{settings.ports.usage}/services/usage"
        key = secrets.load(settings.state_dir, "key-worker")
        self.access = AccessBook(UsageClient(usage, key))
        self._courses = courses.load_all(settings.courses_dir, settings.labs.images)
        self._read_at = time.monotonic()

    @property
    def courses(self) -> dict[str, Course]:
        """Courses by id, read again every few seconds; a broken edit leaves the last good ones."""
        if time.monotonic() - self._read_at > _COURSES_SECONDS:
            self._read_at = time.monotonic()
            try:
                self._courses = courses.load_all(
                    self.settings.courses_dir, self.settings.labs.images
                )
            except CourseError as error:
                event(_LOG, "courses not read again", reason=str(error))
        return self._courses

    def assignment(self, course: str, assignment: str) -> tuple[Course, Assignment]:
        """Both by id, or 404 with a sentence."""
        found = self.courses.get(course)
        item = found.assignment(assignment) if found else None
        if found is None or item is None:
            raise HTTPException(404, _("There is no such course or assignment."))
        return found, item

    def access_of(self, person: Person) -> Access:
        """What `person` may do; 503 when the usage service does not answer."""
        try:
            return self.access.of(person.name, person.admin)
        except AccessUnknown:
            raise HTTPException(
                503,
                _("Your enrolment cannot be checked right now. Try again in a minute."),
                headers={"Retry-After": "10"},
            ) from None

    def learner(self, person: Person, course: str) -> Access:
        """The access of someone in `course`, else 403."""
        access = self.access_of(person)
        if not access.may_learn(course):
            raise HTTPException(403, _("You are not enrolled in this course, or it is not open."))
        return access

    def teacher(self, person: Person, course: str) -> Access:
        """The access of someone who may grade `course`, else 403."""
        access = self.access_of(person)
        if not access.may_teach(course):
            raise HTTPException(403, _("Only instructors of this course may do this."))
        return access


def desk_of(request: Request) -> Desk:
    """Dependency: the service's desk."""
    found = request.app.state.desk
    assert isinstance(found, Desk)
    return found


AtDesk = Annotated[Desk, Depends(desk_of)]
