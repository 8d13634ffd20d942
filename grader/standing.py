"""Who fetched, submitted and scored, for the live class view of the usage service."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.course import Course
from grader import results
from grader.models import Fetch, Release


def progress(session: Session, course: Course, cohort: str) -> dict[str, Any]:
    """Published assignments in the course's order, and per person and assignment how far they are.

    As many questions for three hundred learners as for three.
    """
    published = set(
        session.scalars(select(Release.assignment).where(Release.course == course.id).distinct())
    )
    items = [item.id for item in course.assignments if item.id in published]
    people: dict[str, dict[str, dict[str, Any]]] = {}
    for fetch in session.scalars(select(Fetch).where(Fetch.course == course.id)):
        work = people.setdefault(fetch.username, {}).setdefault(fetch.assignment, {})
        work["fetched"] = fetch.fetched_at.isoformat()
    for item in items:
        for row in results.rows(session, course.id, item, cohort=cohort):
            work = people.setdefault(row.submission.username, {}).setdefault(item, {})
            work.update(
                attempt=row.submission.attempt,
                submission=row.submission.id,
                received=row.submission.received_at.isoformat(),
                late=row.submission.late,
                state=row.state,
                score=row.score.score if row.score else None,
                most=row.score.max_score if row.score else None,
            )
    return {"assignments": items, "people": people}
