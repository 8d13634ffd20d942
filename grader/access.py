"""Who may do what in which course, asked of the usage service and believed for a few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from core.wire import Enrolment
from usage.client import UsageClient, UsageUnavailable

_CACHE_SECONDS = 5.0
_TEACHING = {"assistant", "instructor", "admin"}


class AccessUnknown(Exception):
    """The usage service does not answer, so nobody can be told apart: nothing is allowed."""


@dataclass(frozen=True)
class Access:
    """One person's courses."""

    learns: frozenset[str]
    """Courses of open cohorts, in any role."""
    teaches: frozenset[str]
    admin: bool = False

    def may_learn(self, course: str) -> bool:
        """May see, fetch and submit."""
        return course in self.learns or self.may_teach(course)

    def may_teach(self, course: str) -> bool:
        """May publish, grade and see everybody's work."""
        return self.admin or course in self.teaches


class AccessBook:
    """Looks people up."""

    def __init__(self, usage: UsageClient) -> None:
        self._usage = usage
        self._known: dict[str, tuple[float, list[Enrolment]]] = {}

    def of(self, username: str, admin: bool = False) -> Access:
        """The access of a person. Raises AccessUnknown."""
        enrolments = self._enrolments(username)
        return Access(
            learns=frozenset(c for e in enrolments if e.open for c in e.courses),
            teaches=frozenset(c for e in enrolments if e.role in _TEACHING for c in e.courses),
            admin=admin,
        )

    def _enrolments(self, username: str) -> list[Enrolment]:
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
