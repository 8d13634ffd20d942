"""What people gave by hand, and what becomes of it in the gradebook."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from grader.models import Mark


@dataclass(frozen=True)
class Given:
    """Points and comment for one cell. `points` None: what the tests gave."""

    notebook: str
    cell: str
    points: float | None
    comment: str


def of(session: Session, submission: str) -> tuple[Given, ...]:
    """The newest mark of each cell."""
    query = select(Mark).where(Mark.submission_id == submission).order_by(Mark.id)
    newest = {(m.notebook, m.cell): m for m in session.scalars(query)}
    return tuple(Given(m.notebook, m.cell, m.points, m.comment) for m in newest.values())


def points(text: str, most: float) -> float | None:
    """Points as typed; empty is None. Raises ValueError unless 0 to `most`."""
    if not text.strip():
        return None
    value = float(text.strip().replace(",", "."))
    if math.isnan(value) or not 0 <= value <= most:
        raise ValueError(f"{value:g} is not in the range 0 to {most:g}")
    return value


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
            comment.manual_comment = (mark.comment or None) if mark else None
    gradebook.db.commit()
