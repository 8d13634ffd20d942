"""The durable queue: claim with expiry, tries, parking with a reason. Any number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from core.clock import now
from core.i18n import N_
from core.ids import new_id
from grader.explained import Explained
from grader.models import Job, Submission
from grader.submissions import latest, scores_of
from store.database import Database

CLAIM_SECONDS = 60
"""A claim holds this long; its worker renews it while it works."""
MOST_TRIES = 3
MOST_LOST = 10
"""Workers that may die over a job before it is held to be what kills them."""
RETRY_SECONDS = (2, 10, 30)


@dataclass(frozen=True)
class Progress:
    """How far a batch is."""

    batch: str
    total: int
    done: int
    parked: int
    reasons: list[str]
    """Of parked jobs, as kept (grader.explained)."""

    @property
    def finished(self) -> bool:
        """Nothing is waiting or running any more."""
        return self.done + self.parked >= self.total


def ask(
    session: Session,
    kind: str,
    target: tuple[str, str, str],
    by: str,
    batch: str = "",
    cohort: str = "",
) -> Job:
    """Queue a job for course, assignment, submission; one that is already open is returned.

    A submission's job is of its cohort; `cohort` is for jobs of a whole class.
    """
    course, assignment, submission = target
    if submission:
        cohort = session.get_one(Submission, submission).cohort
    known = session.scalar(
        select(Job).where(
            Job.kind == kind,
            Job.course == course,
            Job.cohort == cohort,
            Job.assignment == assignment,
            Job.submission_id == submission,
            Job.state.in_(("queued", "running")),
        )
    )
    if known is not None:
        known.batch = batch or known.batch
        return known
    return add(session, kind, target, by, batch, cohort)


def add(
    session: Session,
    kind: str,
    target: tuple[str, str, str],
    by: str,
    batch: str = "",
    cohort: str = "",
) -> Job:
    """Queue a job of which it is known that there is none yet; `cohort` is its own or its
    submission's."""
    course, assignment, submission = target
    at = now()
    job = Job(
        id=new_id("job"),
        kind=kind,
        course=course,
        cohort=cohort,
        assignment=assignment,
        submission_id=submission,
        batch=batch or new_id("batch"),
        requested_by=by,
        state="queued",
        tries=0,
        created_at=at,
        not_before=at,
        claimed_by="",
        claimed_until=None,
        finished_at=None,
        reason="",
    )
    session.add(job)
    session.flush()
    return job


def grade_all(
    session: Session, course: str, assignment: str, by: str, again: bool, *, cohort: str | None
) -> str:
    """Queue each learner's last attempt that has no score; with `again`, or when all have one,
    every last attempt. `cohort` None: of all cohorts. Returns the batch, which is empty when there
    is no submission."""
    attempts = latest(session, course, assignment, cohort=cohort)
    scored = scores_of(session, (a.id for a in attempts))
    waiting = [a for a in attempts if a.id not in scored]
    batch = new_id("batch")
    for attempt in attempts if again or not waiting else waiting:
        ask(session, "grade", (course, assignment, attempt.id), by, batch)
    return batch


def claim(database: Database, worker: str) -> Job | None:
    """Take the oldest job that is due, or whose worker went silent; None when there is none."""
    at = now()
    with database.write() as session:
        job = session.scalar(
            select(Job)
            .where(
                or_(
                    (Job.state == "queued") & (Job.not_before <= at),
                    (Job.state == "running") & (Job.claimed_until < at),
                )
            )
            .order_by(Job.kind == "grade", Job.created_at, Job.id)
            .limit(1)
        )
        if job is None:
            return None
        if job.state == "running":
            job.lost += 1
            job.tries -= 1
        if job.lost >= MOST_LOST:
            why = Explained(N_("The worker died %(times)s times while doing this."), times=job.lost)
            park(job, at, why.kept())
            return None
        _take(job, worker, at)
    return job


def claim_alike(database: Database, worker: str, first: Job, busy: set[str]) -> Job | None:
    """One more grading job of the same cohort and assignment, of none of the `busy` learners.

    None when there is none, or when other work should come first.
    """
    at = now()
    due = (Job.state == "queued") & (Job.not_before <= at)
    with database.write() as session:
        if session.scalar(select(Job.id).where(due, Job.kind != "grade").limit(1)):
            return None
        job = session.scalar(
            select(Job)
            .join(Submission, Submission.id == Job.submission_id)
            .where(due, Job.course == first.course, Job.assignment == first.assignment)
            .where(Submission.cohort == first.cohort)
            .where(Submission.username.not_in(busy))
            .order_by(Job.created_at, Job.id)
            .limit(1)
        )
        if job is not None:
            _take(job, worker, at)
    return job


def _take(job: Job, worker: str, at: datetime) -> None:
    job.state = "running"
    job.tries += 1
    job.claimed_by = worker
    job.claimed_until = at + timedelta(seconds=CLAIM_SECONDS)


def renew(database: Database, job: str, worker: str) -> bool:
    """Hold on to a claim; False when it was lost meanwhile."""
    with database.write() as session:
        result = session.execute(
            update(Job)
            .where(Job.id == job, Job.claimed_by == worker, Job.state == "running")
            .values(claimed_until=now() + timedelta(seconds=CLAIM_SECONDS))
        )
        return bool(getattr(result, "rowcount", 0))


def finish(session: Session, job: str, worker: str) -> bool:
    """Mark done, in the transaction that stores the result; False when the claim was lost."""
    found = session.get(Job, job)
    if found is None or found.claimed_by != worker or found.state != "running":
        return False
    found.state = "done"
    found.finished_at = now()
    found.reason = ""
    return True


def fail(database: Database, job: str, worker: str, reason: str, again: bool) -> None:
    """Put back for another try, or park when `again` is false or the tries are used up.

    `reason`: see `grader.explained`."""
    at = now()
    with database.write() as session:
        found = session.get(Job, job)
        if found is None or found.claimed_by != worker or found.state != "running":
            return
        if again and found.tries < MOST_TRIES:
            found.state = "queued"
            found.reason = reason
            found.not_before = at + timedelta(seconds=RETRY_SECONDS[found.tries - 1])
        else:
            park(found, at, reason)


WAIT_SECONDS = 20
"""So often a job that waits for a GPU asks again."""


def postpone(database: Database, job: str, worker: str, reason: str) -> None:
    """Put back until something is free: not the job's fault, so it is no try."""
    with database.write() as session:
        found = session.get(Job, job)
        if found is None or found.claimed_by != worker or found.state != "running":
            return
        found.state = "queued"
        found.tries -= 1
        found.reason = reason
        found.not_before = now() + timedelta(seconds=WAIT_SECONDS)


def park(job: Job, at: datetime, reason: str) -> None:
    """Stop trying; an instructor sees why."""
    job.state = "parked"
    job.finished_at = at
    job.reason = reason


def progress(session: Session, batch: str) -> Progress:
    """Counts of a batch."""
    found = session.execute(
        select(Job.state, func.count()).where(Job.batch == batch).group_by(Job.state)
    )
    counts: dict[str, int] = {state: count for state, count in found}
    reasons = session.scalars(
        select(Job.reason).where(Job.batch == batch, Job.state == "parked").limit(5)
    )
    return Progress(
        batch, sum(counts.values()), counts.get("done", 0), counts.get("parked", 0), list(reasons)
    )


def last_of(
    session: Session, kind: str, course: str, assignment: str, cohort: str = ""
) -> Job | None:
    """The newest job of a kind for a cohort's assignment or any of its submissions.

    Publishing has no cohort."""
    return session.scalar(
        select(Job)
        .where(Job.kind == kind, Job.course == course, Job.assignment == assignment)
        .where(Job.cohort == cohort)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )


def of_submission(session: Session, submission: Submission) -> Job | None:
    """The newest grading job of one submission."""
    return session.scalar(
        select(Job)
        .where(Job.kind == "grade", Job.submission_id == submission.id)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )
