"""Blobs that nothing names go, those that a row names never; old coursework finds its cohort."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.course import Assignment, Text
from core.wire import Enrolment
from grader import accepting, dates, intake, upkeep
from grader.blobs import Blobs
from grader.models import Base, Dates, Job, Release, Score, Submission
from store.database import Database

AT = datetime(2026, 11, 1, tzinfo=UTC)
ITEM = Assignment(id="a", title=Text(en="A", ko="A"))
DAYS = 3 * 24 * 3600


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def age(blobs: Blobs, sha256: str) -> None:
    """As if it had been kept days ago."""
    then = time.time() - DAYS
    os.utime(blobs.path(sha256), (then, then))


def submission(name: str, sha256: str, cohort: str = "x", number: int = 1) -> Submission:
    return Submission(
        id=f"sub-{name}-{number}", course="c", cohort=cohort, assignment="a", username=name,
        attempt=number, key=f"key-{number}", sha256=sha256, size=1, notebooks=["n"],
        received_at=AT, late=False,
    )  # fmt: skip


def test_what_any_row_names_stays_and_the_rest_goes(database: Database, blobs: Blobs) -> None:
    handed, ran, given, spare, fresh = (blobs.put(word.encode()) for word in "abcde")
    for name in (handed, ran, given, spare):
        age(blobs, name)
    with database.write() as session:
        session.add(submission("ann", handed))
        session.flush()
        session.add(
            Score(
                submission_id="sub-ann-1", graded_at=AT, score=1, max_score=1, raw_score=1,
                late_penalty=0, needs_manual=False, cells=[], flags=[], notebooks={"n": ran},
            )
        )  # fmt: skip
        session.add(
            Release(
                course="c", assignment="a", version=1, notebooks=["n"], archives={"en": given},
                published_by="i", published_at=AT,
            )
        )  # fmt: skip
    swept = upkeep.sweep(database, blobs)
    assert (swept.removed, swept.bytes, swept.missing) == (1, 1, frozenset())
    assert set(blobs.names()) == {handed, ran, given, fresh}
    blobs.path(ran).unlink()
    assert upkeep.sweep(database, blobs).missing == {ran}


def test_every_column_that_can_hold_a_blob_is_read(database: Database) -> None:
    """Fails when a table names blobs in a column of another type."""
    columns = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if "sha256" in column.name or column.name in ("archives", "notebooks")
    }
    assert {"submissions.sha256", "feedback.sha256", "releases.archives", "scores.notebooks"} <= (
        columns
    )
    name = "ab" * 32
    with database.write() as session:
        session.add(submission("ann", name))
    with database.read() as session:
        assert upkeep.named_blobs(session) == {name}


def test_unfinished_uploads_go_after_a_day(blobs: Blobs) -> None:
    old, new = (blobs.folder / "incoming" / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    blobs.sweep(set(), time.time())
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_sweep_beside_submissions_never_takes_what_was_accepted(
    database: Database, blobs: Blobs, seed: int
) -> None:
    """Contents that lie there unused for days are handed in, or refused, while sweeps run."""
    steps = random.Random(seed)
    for content in range(60):
        age(blobs, blobs.put(bytes([content])))
    stop = threading.Event()
    removed: list[int] = []

    def sweeping() -> None:
        while not stop.is_set():
            removed.append(upkeep.sweep(database, blobs).removed)

    sweeper = threading.Thread(target=sweeping)
    sweeper.start()
    handed: set[str] = set()
    try:
        for number in range(60):
            data = bytes([steps.randrange(60)])
            path = blobs.folder / "incoming" / f"{number}"
            path.write_bytes(data)
            sha256 = hashlib.sha256(data).hexdigest()
            if steps.random() < 0.6:
                arrived = accepting.Arrived(path, sha256, 1, intake.Contents({}, ["n"]))
                work = accepting.Work(f"u{number}", "c", "x", ITEM)
                accepting.accept(database, blobs, work, "key", arrived, 10**9)
                handed.add(sha256)
            else:  # refused after its bytes were kept
                blobs.keep(path, sha256)
                if sha256 not in handed:
                    age(blobs, sha256)
            assert all(blobs.path(name).exists() for name in handed)
    finally:
        stop.set()
        sweeper.join()
    assert sum(removed) > 5


def test_an_upload_that_took_days_is_kept_as_of_its_end(blobs: Blobs) -> None:
    slow = blobs.folder / "incoming" / "slow"
    slow.write_bytes(b"x")
    os.utime(slow, (1, 1))
    name = blobs.keep(slow, hashlib.sha256(b"x").hexdigest())
    assert blobs.sweep(set(), time.time()).removed == 0
    assert blobs.path(name).exists()


def test_nothing_is_kept_between_a_sweeps_look_and_its_removal(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody hands in, in just that moment, what the sweep found to be old."""
    name = blobs.put(b"x")
    age(blobs, name)
    handing_in = threading.Thread(target=blobs.put, args=(b"x",))
    look = Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = look(self, follow_symlinks=follow_symlinks)
        if self == blobs.path(name) and handing_in.ident is None:
            handing_in.start()
            handing_in.join(0.5)  # it waits for the sweep
        return found

    monkeypatch.setattr(Path, "stat", stat)
    assert blobs.sweep(set(), time.time()).removed == 1
    handing_in.join()
    assert blobs.read(name) == b"x"


PLACES = {
    "ann": [
        Enrolment("spring", "trainee", ["c"], False),
        Enrolment("fall", "trainee", ["d"], True),
    ],
    "bob": [
        Enrolment("spring", "trainee", ["c"], False),
        Enrolment("fall", "trainee", ["c"], True),
    ],
}


def test_old_coursework_is_put_into_the_only_cohort_there_is(database: Database) -> None:
    with database.write() as session:
        for name in ("ann", "bob", "gone"):
            session.add(submission(name, "0" * 64, cohort=""))
        session.flush()
        session.add(
            Dates(course="c", cohort="", assignment="a", username="ann", due=AT, cleared=[],
                  set_by="i", set_at=AT)
        )  # fmt: skip
        session.add(
            Job(id="j", kind="grade", course="c", cohort="", assignment="a",
                submission_id="sub-ann-1", batch="b", requested_by="i", state="done", tries=1,
                created_at=AT, not_before=AT, claimed_by="", reason="")
        )  # fmt: skip
    assert upkeep.settle_cohorts(database, lambda name: PLACES.get(name, [])) == 1
    with database.read() as session:
        found = {s.username: s.cohort for s in session.query(Submission)}
        assert found == {"ann": "spring", "bob": "", "gone": ""}
        assert session.get_one(Job, "j").cohort == "spring"
        assert dates.of(session, "c", "spring", ITEM, "ann").due == AT
        assert dates.of(session, "c", "fall", ITEM, "bob").due is None
    assert upkeep.settle_cohorts(database, lambda name: PLACES.get(name, [])) == 0
