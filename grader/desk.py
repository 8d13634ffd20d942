"""What every route of the service needs: courses, who may do what, storage."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from sqlalchemy import select

from core import secrets
from core.course import Assignment, Course
from core.i18n import N_
from core.log import event
from core.settings import Settings
from core.shelf import Shelf
from grader.access import Access, AccessBook, AccessUnknown
from grader.blobs import Blobs
from grader.database import open_database
from grader.models import Submission
from usage.client import CohortCourses, CohortMember, UsageClient
from web.auth import Person, signed_in
from web.i18n import gettext as _

_LOG = logging.getLogger("grader")
_NOT_OPEN = N_("You are not enrolled in this course, or it is not open. Ask your instructor.")


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
        self.courses = Shelf(settings.courses_dir, settings.labs.images)

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
            raise HTTPException(403, _(_NOT_OPEN))
        return access

    def cohort_of(self, person: Person, course: str, wanted: str = "") -> str:
        """The cohort that the person's own work in `course` belongs to, else 403 (see Access)."""
        found = self.learner(person, course).cohort_of(course, wanted)
        if found is None:
            raise HTTPException(403, _(_NOT_OPEN))
        return found

    def publisher(self, person: Person, course: str) -> Access:
        """The access of someone who teaches `course` in some cohort, else 403."""
        access = self.access_of(person)
        if not access.may_publish(course):
            raise HTTPException(403, _("Only instructors of this course may do this."))
        return access

    def taught(self, person: Person, course: str, wanted: str = "") -> str:
        """The cohort whose work the person asks for, else 403.

        Without `wanted` the first that they teach, open ones first; for an admin of all there are.
        """
        access = self.publisher(person, course)
        found = wanted or next(iter(self.cohorts(person, course)), "")
        if not access.may_teach(course, found):
            raise HTTPException(403, _("Only instructors of this cohort may do this."))
        if access.admin and wanted and wanted not in self.cohorts(person, course):
            raise HTTPException(404, _("There is no such cohort in this course."))
        return found

    def taught_submission(self, person: Person, submission: str) -> Submission:
        """A submission of a cohort that the person teaches, else 404: as if it did not exist."""
        with self.database.read() as session:
            found = session.get(Submission, submission)
        if found is None or not self.access_of(person).may_teach(found.course, found.cohort):
            raise HTTPException(404, _("There is no such submission."))
        return found

    def cohorts(self, person: Person, course: str) -> list[str]:
        """Cohorts of a course whose work the person may see; an admin's are all there are."""
        access = self.access_of(person)
        own = access.taught(course)
        if not access.admin:
            return own
        known = [c for c in self._every_cohort() if course in c.courses]
        listed = [c.id for c in sorted(known, key=lambda c: not c.open)]
        with self.database.read() as session:
            used = session.scalars(
                select(Submission.cohort).where(Submission.course == course).distinct()
            ).all()
        return list(dict.fromkeys([*own, *listed, *sorted(used, reverse=True)]))

    def cohort_name(self, cohort: str) -> str:
        """A cohort as people call it."""
        names = {c.id: c.name for c in self._every_cohort()}
        return names.get(cohort, cohort) or _("No cohort")

    def members(self, cohort: str) -> list[CohortMember]:
        """The people of a cohort; nobody while the usage service does not answer."""
        try:
            return self.access.members(cohort)
        except AccessUnknown as error:
            event(_LOG, "members not known", cohort=cohort, reason=str(error))
            return []

    def called(self, cohort: str, username: str) -> str:
        """A person of a cohort as staff know them: ``name (user name)``."""
        name = next((m.name for m in self.members(cohort) if m.username == username), "")
        return f"{name} ({username})" if name else username

    def _every_cohort(self) -> list[CohortCourses]:
        try:
            return self.access.cohorts()
        except AccessUnknown:  # names and an admin's list only: rights are asked for by person
            return []


def desk_of(request: Request) -> Desk:
    """Dependency: the service's desk."""
    found = request.app.state.desk
    assert isinstance(found, Desk)
    return found


AtDesk = Annotated[Desk, Depends(desk_of)]


@dataclass(frozen=True)
class Classroom:
    """A cohort's work in one course, opened by somebody who may see it."""

    desk: Desk
    person: Person
    course: Course
    cohort: str

    @property
    def query(self) -> str:
        """Says in an address which cohort is meant."""
        return f"?cohort={self.cohort}"

    @property
    def path(self) -> str:
        """The class's page."""
        return f"/services/grader/courses/{self.course.id}{self.query}"

    def names(self) -> dict[str, str]:
        """The cohort's learners: what they are called, by user name; empty: not known."""
        members = self.desk.members(self.cohort)
        return {m.username: m.name for m in members if m.role == "trainee"}

    def switch(self) -> list[tuple[str, str]]:
        """Id and name of each cohort of the course that the person may change to."""
        cohorts = self.desk.cohorts(self.person, self.course.id)
        return [(cohort, self.desk.cohort_name(cohort)) for cohort in cohorts]

    def assignment(self, assignment: str) -> Assignment:
        """By id, or 404 with a sentence."""
        return self.desk.assignment(self.course.id, assignment)[1]


def classroom(
    desk: AtDesk,
    person: Annotated[Person, Depends(signed_in)],
    course: str,
    cohort: str = "",
) -> Classroom:
    """Dependency of an instructor's page: 403 unless the person teaches this cohort."""
    taught = desk.taught(person, course, cohort)
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, _("There is no such course or assignment."))
    return Classroom(desk, person, found, taught)


InClass = Annotated[Classroom, Depends(classroom)]


def class_path(submission: Submission) -> str:
    """Where an instructor sees the submission among the class's."""
    path = f"/services/grader/courses/{submission.course}?cohort={submission.cohort}"
    return f"{path}#{submission.assignment}"
