"""Certificates: recorded once when a course's pass rule holds, provable to anyone, revocable.

`paper` prints one as PDF, `badge` gives it as an Open Badges 3.0 credential.
"""

from __future__ import annotations

import secrets

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.course import Course
from grader.models import Certificate, Feedback, Score, Submission
from grader.submissions import of_person


def percent(session: Session, course: Course, cohort: str, username: str) -> float | None:
    """The lowest percentage over the assignments that the rule names; None: one is missing.

    Only released scores count: the last attempt's, as its feedback shows it.
    """
    wanted = course.passing.assignments or [item.id for item in course.assignments]
    last = {s.assignment: s for s in of_person(session, username, course.id, cohort)}
    reached = []
    for item in wanted:
        score = released_score(session, last[item]) if item in last else None
        if score is None or score.needs_manual:
            return None
        reached.append(100 * score.score / score.max_score if score.max_score else 100.0)
    return min(reached, default=None)


def released_score(session: Session, submission: Submission) -> Score | None:
    """The score that the learner was shown."""
    return session.scalar(
        select(Score)
        .join(Feedback, Feedback.score_id == Score.id)
        .where(Feedback.submission_id == submission.id)
        .order_by(Score.id.desc())
        .limit(1)
    )


def issue(session: Session, course: Course, cohort: str, username: str) -> Certificate | None:
    """Record the certificate when the rule holds; one that is there stays as it is."""
    known = of(session, course.id, cohort, username)
    if known is not None:
        return known
    reached = percent(session, course, cohort, username)
    if reached is None or reached < course.passing.percent:
        return None
    made = Certificate(
        id=secrets.token_urlsafe(16),
        course=course.id,
        cohort=cohort,
        username=username,
        titles=course.title.model_dump(),
        hours=course.hours,
        percent=reached,
        issued_at=now(),
        revoked_at=None,
        revoked_by="",
    )
    session.add(made)
    session.flush()
    return made


def of(session: Session, course: str, cohort: str, username: str) -> Certificate | None:
    """A person's certificate of a course that they took with a cohort."""
    return session.scalar(
        select(Certificate).where(
            Certificate.course == course,
            Certificate.cohort == cohort,
            Certificate.username == username,
        )
    )


def of_class(session: Session, course: str, cohort: str) -> list[Certificate]:
    """All of a cohort, by name."""
    query = select(Certificate).where(Certificate.course == course, Certificate.cohort == cohort)
    return list(session.scalars(query.order_by(Certificate.username)))


def count_by_cohort(session: Session) -> dict[str, int]:
    """How many certificates that hold each cohort has."""
    query = select(Certificate.cohort, func.count()).where(Certificate.revoked_at.is_(None))
    return {cohort: count for cohort, count in session.execute(query.group_by(Certificate.cohort))}
