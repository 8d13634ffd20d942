"""nbgrader's assignment list, over several courses and with refusals in the learner's own words.

nbgrader lists one configured course, answers every failed listing with how to set up a shared
folder, shows a refused submission as a traceback, and says nothing of a refused fetch.
"""

# mypy: disallow-subclassing-any=False
# (nbgrader publishes no type information)

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from nbgrader.server_extensions.assignment_list import handlers

from grader.exchange import plugin

Answer = dict[str, Any]
"""As nbgrader's page reads it: ``success``, and ``value`` with what there is or what went wrong."""


class AssignmentList(handlers.AssignmentList):
    """What nbgrader's handlers ask."""

    _refused = ""
    """Of the last fetch: its handler shows the list that is asked for next, and nothing else."""

    def list_courses(self) -> Answer:
        """Every course that the person takes, not only the one that the lab was started for."""
        answer = self.list_assignments(plugin.EVERY)
        if answer["success"]:
            here = os.environ.get("DLI_COURSE", "")  # the page opens with the first
            found = {one["course_id"] for one in answer["value"]}
            answer["value"] = sorted(found, key=lambda course: (course != here, course))
        return answer

    def list_assignments(self, course_id: str | None = None) -> Answer:
        """What is released and submitted, or why the fetch before was refused."""
        refused, self._refused = self._refused, ""
        if refused:
            return {"success": False, "value": refused}
        return _told(super().list_assignments, course_id)

    def submit_assignment(self, course_id: str, assignment_id: str) -> Answer:
        """Hand in."""
        return _told(super().submit_assignment, course_id, assignment_id)

    def fetch_assignment(self, course_id: str, assignment_id: str) -> Answer:
        """Bring an assignment."""
        return self._fetched(_told(super().fetch_assignment, course_id, assignment_id))

    def fetch_feedback(self, course_id: str, assignment_id: str) -> Answer:
        """Bring feedback pages."""
        return self._fetched(_told(super().fetch_feedback, course_id, assignment_id))

    def _fetched(self, answer: Answer) -> Answer:
        self._refused = "" if answer["success"] else str(answer["value"])
        return answer


def _told(act: Callable[..., Answer], *given: str | None) -> Answer:
    plugin.Exchange.refusal = ""
    answer = act(*given)
    if not answer["success"] and plugin.Exchange.refusal:
        answer["value"] = plugin.Exchange.refusal
    return answer
