"""A job that outlives its workers is done; one that fails, or kills them all, is parked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from core.clock import now
from grader import jobs, labels
from grader.database import open_database
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


def test_many_workers_take_each_job_once(database: Database) -> None:
    """Each with connections and a lock of its own, as processes have."""
    with database.write() as session:
        for number in range(40):
            jobs.add(session, "publish", ("c", f"a{number}", ""), "ines")

    def work(name: str) -> list[str]:
        own = open_database(database.url)
        taken = []
        while job := jobs.claim(own, name):
            taken.append(job.id)
            with own.write() as session:
                assert jobs.finish(session, job.id, name)
        own.close()
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [job for found in pool.map(work, "abcdefgh") for job in found]
    assert len(taken) == len(set(taken)) == 40


def test_who_lost_a_claim_neither_finishes_nor_fails_the_job(database: Database) -> None:
    job = queued(database)
    assert jobs.claim(database, "slow")
    expire(database, job)
    assert jobs.claim(database, "quick")
    assert not jobs.renew(database, job, "slow")
    with database.write() as session:
        assert not jobs.finish(session, job, "slow")
    jobs.fail(database, job, "slow", "too late", again=False)
    with database.write() as session:
        assert session.get_one(Job, job).state == "running"
        assert jobs.finish(session, job, "quick")
