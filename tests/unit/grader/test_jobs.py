"""A job that outlives its workers is done; one that fails, or kills them all, is parked."""

from __future__ import annotations

from datetime import timedelta

from core.clock import now
from grader import jobs, labels
from grader.models import Job
from store.database import Database


def queued(database: Database) -> str:
    with database.write() as session:
        return jobs.ask(session, "publish", ("c", "a", ""), "ines").id


def expire(database: Database, job: str) -> None:
    with database.write() as session:
        found = session.get_one(Job, job)
        found.claimed_until = found.not_before = now() - timedelta(seconds=1)


def test_dead_workers_do_not_use_up_a_jobs_tries(database: Database) -> None:
    job = queued(database)
    for number in range(jobs.MOST_LOST - 1):
        assert jobs.claim(database, f"w{number}")
        expire(database, job)
    claimed = jobs.claim(database, "last")
    assert claimed is not None
    assert (claimed.tries, claimed.lost) == (1, jobs.MOST_LOST - 1)
    jobs.fail(database, job, "last", "no Docker", again=True)
    with database.read() as session:
        assert session.get_one(Job, job).state == "queued"


def test_a_job_that_kills_every_worker_is_parked(database: Database) -> None:
    job = queued(database)
    for number in range(jobs.MOST_LOST):
        assert jobs.claim(database, f"w{number}")
        expire(database, job)
    assert jobs.claim(database, "spared") is None
    with database.read() as session:
        assert session.get_one(Job, job).state == "parked"
        assert "The worker died 10 times" in labels.why(session.get_one(Job, job).reason)


def test_three_failures_park_a_job(database: Database) -> None:
    job = queued(database)
    for _ in range(jobs.MOST_TRIES):
        assert jobs.claim(database, "w")
        jobs.fail(database, job, "w", "no Docker", again=True)
        with database.write() as session:
            session.get_one(Job, job).not_before = now() - timedelta(seconds=1)
    with database.read() as session:
        assert session.get_one(Job, job).state == "parked"
