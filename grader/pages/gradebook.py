"""The gradebook: everybody's scores in a course, with filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from core.course import Assignment
from grader import labels, results
from grader.desk import Classroom, InClass
from web.pages import render
from web.paging import cut

router = APIRouter()

PAGE = 100
"""Learners on one page."""

STATES = ("none", "waiting", "grading", "failed", "manual", "graded", "released")


@dataclass(frozen=True)
class Line:
    """One learner."""

    username: str
    name: str
    cells: dict[str, results.Row | None]
    """By assignment; None: nothing submitted."""

    @property
    def percent(self) -> float | None:
        """Of all points of what is graded; None when nothing is."""
        scores = [row.score for row in self.cells.values() if row and row.score]
        most = sum(score.max_score for score in scores)
        return sum(score.score for score in scores) / most if most else None


@router.get("/courses/{course}/gradebook")
def gradebook(
    request: Request,
    room: InClass,
    assignment: str = "",
    state: str = "",
    name: str = "",
    page: Annotated[int, Query(ge=1)] = 1,
) -> HTMLResponse:
    """Learners by name, assignments side by side. Filters narrow it down."""
    items = [item for item in room.course.assignments if assignment in ("", item.id)]
    lines = _lines(room, items)
    found = [line for line in lines if _matches(line, state, name)]
    shown, page, pages = cut(found, page, PAGE)
    chosen = {"assignment": assignment, "state": state, "name": name}
    return render(
        request,
        "grader/gradebook.html",
        room=room,
        course=room.course,
        items=items,
        lines=shown,
        found=len(found),
        all=len(lines),
        chosen=chosen,
        query=urlencode({"cohort": room.cohort, **chosen}),
        page=page,
        pages=pages,
        states=STATES,
        words=labels.state,
    )


def _lines(room: Classroom, items: list[Assignment]) -> list[Line]:
    members = {m.username: m.name for m in room.desk.members(room.cohort) if m.role == "trainee"}
    work: dict[str, dict[str, results.Row]] = {}
    with room.desk.database.read() as session:
        for item in items:
            for row in results.rows(session, room.course.id, item.id, cohort=room.cohort):
                work.setdefault(row.submission.username, {})[item.id] = row
    names = {**dict.fromkeys(work, ""), **members}
    lines = [
        Line(who, name, {item.id: work.get(who, {}).get(item.id) for item in items})
        for who, name in names.items()
    ]
    return sorted(lines, key=lambda line: (line.name or line.username, line.username))


def _matches(line: Line, state: str, name: str) -> bool:
    wanted = name.strip().casefold()
    if wanted and wanted not in f"{line.name} {line.username}".casefold():
        return False
    if state not in STATES:
        return True
    return any(state == (row.state if row else "none") for row in line.cells.values())
