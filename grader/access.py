"""Who may do what in which cohort of which course, asked of usage and believed for a few seconds.

Coursework belongs to a cohort *of* a course: staff of one cohort see nothing of another's that
takes the same course. Only publishing is for the whole course.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from core.wire import Enrolment
from usage.client import CohortCourses, CohortMember, UsageClient, UsageUnavailable

_CACHE_SECONDS = 5.0
_TEACHING = {"assistant", "instructor", "admin"}


class AccessUnknown(Exception):
    """The usage service does not answer, so nobody can be told apart: nothing is allowed."""


@dataclass(frozen=True)
class Access:
    """One person's places in cohorts, in the order of the cohorts' ends."""

    places: tuple[Enrolment, ...] = ()
    admin: bool = False

    @property
    def learns(self) -> frozenset[str]:
        """Courses of open cohorts, in any role."""
        return frozenset(c for p in self.places if p.open for c in p.courses)

    @property
    def teaches(self) -> frozenset[str]:
        """Courses that the person teaches in some cohort."""
        return frozenset(c for p in self.places if p.role in _TEACHING for c in p.courses)

    def may_learn(self, course: str) -> bool:
        """May see, fetch and submit in some cohort."""
        return course in self.learns or self.may_publish(course)

    def may_publish(self, course: str) -> bool:
        """Teaches the course somewhere: may publish it, see its material and its dates."""
        return self.admin or course in self.teaches

    def may_teach(self, course: str, cohort: str) -> bool:
        """May grade this cohort and see everybody's work in it.

        Work whose cohort is not known (empty) is for admins alone.
        """
        return self.admin or cohort in self.taught(course)

    def learning(self, course: str) -> list[str]:
        """Open cohorts in which the person takes the course as a learner."""
        return [
            p.cohort
            for p in self.places
            if p.open and p.role not in _TEACHING and course in p.courses
        ]

    def taught(self, course: str) -> list[str]:
        """Cohorts of a course in which the person teaches: open ones first, the next to end first.

        An admin's own places only: AccessBook.cohorts knows all.
        """
        places = [p for p in self.places if p.role in _TEACHING and course in p.courses]
        return [p.cohort for p in sorted(places, key=lambda p: not p.open)]

    def cohort_of(self, course: str, wanted: str = "") -> str | None:
        """The cohort that the person's own work in a course belongs to; None: in none of them.

        `wanted` is what the lab was started for; it counts if it is a cohort of theirs that takes
        the course. Else: the open cohort in which they learn, of several the one that ends first;
        else one that they teach. Empty for an admin who is in no cohort.
        """
        places = [p for p in self.places if course in p.courses]
        usable = [p for p in places if p.open or p.role in _TEACHING]
        if any(p.cohort == wanted for p in places):
            return wanted if any(p.cohort == wanted for p in usable) else None
        usable.sort(key=lambda p: (not p.open, p.role in _TEACHING))
        return usable[0].cohort if usable else "" if self.admin else None


class AccessBook:
    """Looks people and cohorts up."""

    def __init__(self, usage: UsageClient) -> None:
        self._usage = usage
        self._known: dict[str, tuple[float, list[Enrolment]]] = {}
        self._cohorts: tuple[float, list[CohortCourses]] | None = None

    def of(self, username: str, admin: bool = False) -> Access:
        """The access of a person. Raises AccessUnknown."""
        return Access(tuple(self.places(username)), admin)

    def cohorts(self) -> list[CohortCourses]:
        """Every cohort with its name and courses, the newest to end first. Raises AccessUnknown."""
        if self._cohorts is None or time.monotonic() - self._cohorts[0] >= _CACHE_SECONDS:
            try:
                self._cohorts = (time.monotonic(), self._usage.cohorts())
            except UsageUnavailable as error:
                raise AccessUnknown(str(error)) from error
        return self._cohorts[1]

    def members(self, cohort: str) -> list[CohortMember]:
        """The people of a cohort. Raises AccessUnknown."""
        try:
            return self._usage.members(cohort) if cohort else []
        except UsageUnavailable as error:
            raise AccessUnknown(str(error)) from error

    def places(self, username: str) -> list[Enrolment]:
        """A person's places in cohorts, ended ones too. Raises AccessUnknown."""
        found = self._known.get(username)
        if found and time.monotonic() - found[0] < _CACHE_SECONDS:
            return found[1]
        try:
            enrolments = self._usage.enrolments(username)
        except UsageUnavailable as error:
            raise AccessUnknown(str(error)) from error
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[username] = (time.monotonic(), enrolments)
        return enrolments
