"""Why something went wrong, so that everybody who reads of it later does so in their own language.

Who fails a job does not know its readers. What is kept is the English sentence, which is also the
id of its translation, and apart from it the values; `grader.labels.why` says it to a reader. What
is not ours (nbgrader's, Docker's and Python's own words) is a value and stays as it came.
"""

from __future__ import annotations

import json
from typing import Any

from core.course import CourseError
from core.i18n import N_

_LONGEST = 1500
"""Characters of one value that are kept."""


class Explained(Exception):
    """A failure with its sentence: marked with `N_`, its ``%(name)s`` filled from `values`."""

    def __init__(self, sentence: str, **values: str | int) -> None:
        self.sentence = sentence
        self.values: dict[str, Any] = {
            key: value[:_LONGEST] if isinstance(value, str) else value
            for key, value in values.items()
        }
        super().__init__(self.filled(sentence))

    def filled(self, sentence: str) -> str:
        """`sentence`, which is this one's or its translation, with the values in it."""
        return sentence % self.values if self.values else sentence

    def kept(self) -> str:
        """As text for the database; `read` reads it."""
        return json.dumps({"sentence": self.sentence, **self.values}, ensure_ascii=False)


class CourseFault(Explained, CourseError):
    """A course's folder that cannot be used, explained."""


def read(kept: str) -> Explained | None:
    """What `Explained.kept` wrote; None for a text of another origin, such as an older version."""
    try:
        values = json.loads(kept)
        return Explained(values.pop("sentence"), **values)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def of(error: Exception) -> Explained:
    """Any failure, explained."""
    if isinstance(error, Explained):
        return error
    if isinstance(error, CourseError):
        return Explained(
            N_("The course's folder cannot be used. Put this right, then try again: %(detail)s"),
            detail=str(error),
        )
    return Explained(
        N_("Something unexpected happened; the worker's log says more: %(detail)s"),
        detail=f"{type(error).__name__}: {error}",
    )
