"""The API for the usage service (key-usage)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, HTTPException

from grader import certificates, standing
from grader.desk import AtDesk
from web.auth import internal

router = APIRouter(prefix="/api/internal", dependencies=[Depends(internal("key-usage"))])


@router.get("/courses/{course}/progress")
def progress(desk: AtDesk, course: str, cohort: str) -> dict[str, Any]:
    """How far each person of a cohort is."""
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, "no such course")
    with desk.database.read() as session:
        return standing.progress(session, found, cohort)


@router.get("/completions")
def completions(desk: AtDesk) -> dict[str, int]:
    """How many valid certificates each cohort has."""
    with desk.database.read() as session:
        return certificates.count_by_cohort(session)
