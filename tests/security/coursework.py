"""The same coursework in two cohorts that take one course, for the matrix of routes and roles."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from grader.desk import Desk
from grader.models import Certificate, Job, Release, Score, Submission

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
COHORTS = {"a": "trainee", "b": "trainee-b"}
"""Each with the one learner whose work is in it."""


def fill(desk: Desk) -> None:
    """Course intro, assignment work: sub-1, cert-1, job-1 in cohort a, sub-2… in cohort b."""
    tar, ran = desk.blobs.put(b"tar"), desk.blobs.put(NOTEBOOK)
    with desk.database.write() as session:
        session.add(
            Release(
                course="intro",
                assignment="work",
                version=1,
                notebooks=["n"],
                archives={"en": tar},
                published_by="x",
                published_at=datetime.now(UTC),
            )
        )
        for number, (cohort, name) in enumerate(COHORTS.items(), 1):
            _one(session, str(number), cohort, name, tar, ran)


def _one(session: Session, number: str, cohort: str, name: str, tar: str, ran: str) -> None:
    at = datetime.now(UTC)
    common = {"course": "intro", "cohort": cohort}
    work = common | {"assignment": "work"}
    submission = Submission(
        **work, id=f"sub-{number}", username=name, attempt=1, key="k" * 8, sha256=tar, size=3,
        notebooks=["n"], received_at=at, late=False,
    )  # fmt: skip
    session.add(submission)
    session.flush()
    cell = {"notebook": "n", "cell": "c", "score": 1, "max": 1, "manual": False, "outcome": "pass"}
    score = Score(
        submission_id=submission.id, graded_at=at, score=1, max_score=1, raw_score=1,
        late_penalty=0, needs_manual=False, cells=[cell], flags=[], notebooks={"n": ran},
    )  # fmt: skip
    certificate = Certificate(
        **common, id=f"cert-{number}", username=name, name="Kim", hours=2,
        titles={"en": "I", "ko": "입"}, percent=90, issued_at=at, revoked_at=None,
        revoked_by="",
    )  # fmt: skip
    job = Job(
        **work, id=f"job-{number}", kind="grade", submission_id=submission.id, batch="b",
        requested_by="x", state="done", tries=1, created_at=at, not_before=at, claimed_by="",
        claimed_until=None, finished_at=at, reason="",
    )  # fmt: skip
    session.add_all([score, certificate, job])
