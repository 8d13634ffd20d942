"""The API for `./dli` on this machine (key-cli): publish, grade, release feedback, results."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException

from grader import actions, exports, jobs, labels, results
from grader.desk import AtDesk
from web.auth import Person, internal

router = APIRouter(prefix="/api/cli", dependencies=[Depends(internal("key-cli"))])


@router.post("/courses/{course}/assignments/{assignment}/{action}")
def act(
    desk: AtDesk,
    course: str,
    assignment: str,
    action: actions.Action,
    by: Annotated[str, Body()] = "dli",
    again: Annotated[bool, Body()] = False,
    cohort: Annotated[str | None, Body()] = None,
) -> dict[str, str]:
    """Queue it for one cohort or, without, for all; follow ``batch``."""
    return actions.start(desk, course, assignment, action, by, again, cohort=cohort)


@router.get("/batches/{batch}")
def batch(desk: AtDesk, batch: str) -> dict[str, Any]:
    """How far it is."""
    with desk.database.read() as session:
        progress = jobs.progress(session, batch)
    reasons = [labels.why(one) for one in progress.reasons]
    return {**asdict(progress), "reasons": reasons, "finished": progress.finished}


@router.get("/courses/{course}/assignments/{assignment}/results")
def all_results(
    desk: AtDesk, course: str, assignment: str, cohort: str | None = None
) -> list[dict[str, Any]]:
    """Each learner's last attempt and its newest score, of one cohort or of all."""
    desk.assignment(course, assignment)
    with desk.database.read() as session:
        found = results.rows(session, course, assignment, cohort=cohort)
    return [
        {
            "cohort": row.submission.cohort,
            "username": row.submission.username,
            "submission": row.submission.id,
            "attempt": row.submission.attempt,
            "late": row.submission.late,
            "state": row.state,
            "score": row.score.score if row.score else None,
            "max_score": row.score.max_score if row.score else None,
            "flags": [flag | {"message": labels.flag(flag)} for flag in row.score.flags]
            if row.score
            else [],
            "reason": labels.why(row.job.reason) if row.job else "",
        }
        for row in found
    ]


@router.get("/courses/{course}/export")
def export(
    desk: AtDesk, course: str, cohort: str | None = None, kind: exports.Kind = "nbgrader"
) -> dict[str, dict[str, str]]:
    """Scores as CSV text by cohort: of one, or of each that has the course."""
    found = desk.courses.get(course)
    if found is None:
        raise HTTPException(404, f"there is no course {course!r}")
    wanted = [cohort] if cohort is not None else desk.cohorts(Person("", admin=True), course)
    with desk.database.read() as session:
        return {
            "csv": {
                one: exports.export(session, found, one, desk.members(one), kind).decode(
                    "utf-8-sig"
                )
                for one in wanted
            }
        }
