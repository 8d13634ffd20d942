"""What people gave by hand, and what becomes of it in the gradebook."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.course import Criterion
from grader.models import Mark

Earned = tuple[str, float, float]
"""A criterion's text, the points it earned, and the most it earns."""


@dataclass(frozen=True)
class Given:
    """Points and comment for one cell. `points` None: what the tests gave."""

    notebook: str
    cell: str
    points: float | None
    comment: str
    criteria: tuple[Earned, ...] = ()
    """By criterion of the rubric; `points` is their sum."""

    @property
    def told(self) -> str:
        """What the learner reads: the comment, then each criterion with its points."""
        lines = [f"{text}: {points:g} / {most:g}" for text, points, most in self.criteria]
        return "\n".join([self.comment, *lines] if self.comment else lines)


def of(session: Session, submission: str) -> tuple[Given, ...]:
    """The newest mark of each cell."""
    query = select(Mark).where(Mark.submission_id == submission).order_by(Mark.id)
    newest = {(m.notebook, m.cell): m for m in session.scalars(query)}
    return tuple(
        Given(m.notebook, m.cell, m.points, m.comment, tuple((t, p, o) for t, p, o in m.criteria))
        for m in newest.values()
    )


class WrongPoints(ValueError):
    """Not a number from 0 to `most`. `what` names the criterion, where it is one."""

    def __init__(self, text: str, most: float, what: str) -> None:
        super().__init__(f"{text} is not in the range 0 to {most:g}")
        self.most = most
        self.what = what


def points(text: str, most: float, what: str = "") -> float | None:
    """Points as typed; empty is None. Raises WrongPoints unless 0 to `most`."""
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if math.isnan(value) or not 0 <= value <= most:
        raise WrongPoints(text[:40], most, what)
    return value


@dataclass(frozen=True)
class Rubric:
    """The criteria for one cell, in the language in which learners read them."""

    asked: list[Criterion]
    language: str

    def earned(self, typed: list[str]) -> tuple[Earned, ...]:
        """Points by criterion as typed: none when every field is empty, else empty is 0.

        Raises WrongPoints.
        """
        if not any(text.strip() for text in typed):
            return ()
        return tuple(self._one(text, one) for text, one in zip(typed, self.asked, strict=True))

    def _one(self, typed: str, criterion: Criterion) -> Earned:
        name = criterion.text.in_(self.language)
        return name, points(typed, criterion.points, name) or 0.0, criterion.points


def apply(gradebook: Any, submission: Any, given: tuple[Given, ...]) -> None:
    """Make the gradebook's manual scores and comments of a submission those of `given`."""
    by_cell = {(one.notebook, one.cell): one for one in given}
    for notebook in submission.notebooks:
        for grade in notebook.grades:
            mark = by_cell.get((notebook.name, grade.name))
            grade.manual_score = mark.points if mark else None
            grade.needs_manual_grade = grade.manual_score is None and grade.auto_score is None
        for comment in notebook.comments:
            mark = by_cell.get((notebook.name, comment.name))
            comment.manual_comment = (mark.told or None) if mark else None
    gradebook.db.commit()
