"""Personal data: taken away as a file, erased everywhere, deleted after a cohort's date."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from tests.unit.usage import audit as books
from tests.unit.usage.conftest import HOUR, START, World, slot
from usage.audit import AuditRow
from usage.classroom.coursework import GraderDown
from usage.hub import HubDown
from usage.models import Base, Code, Cohort, Entry, LeaseRow, Membership
from usage.refusals import No
from usage.retention import dates, erasing, person
from usage.retention.models import Erasure
from usage.roster import parse_roster
from usage.roster.models import Expected


class Elsewhere:
    """The Hub and the grader service. `down` names the one that does not answer."""

    def __init__(self) -> None:
        self.down = ""
        self.asked: list[tuple[str, str]] = []

    async def delete(self, username: str) -> None:
        if self.down == "hub":
            raise HubDown("no answer")
        self.asked.append(("hub", username))

    async def erase(self, username: str, pseudonym: str, actor: str) -> None:
        if self.down == "grader":
            raise GraderDown("no answer")
        self.asked.append(("grader", username))


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def eraser(world: World, elsewhere: Elsewhere) -> erasing.Eraser:
    return erasing.Eraser(world.usage, elsewhere, elsewhere, 365, 30)


@pytest.fixture
def kt(world: World) -> World:
    """ann used a GPU, asked for more and is on a roster; bea is another member."""
    world.cohort("kt", learner_cap=HOUR)
    world.usage.enrol("kt", "ann", "trainee", "ann@kt.com", "안나")
    world.usage.enrol("kt", "bea", "trainee", "bea@kt.com", "Bea")
    world.slots(slot(1))
    lease = world.running("ann")
    world.run_for(lease, 120, step=60)
    world.usage.ask_for_more("ann", 30, "my thesis")
    with world.database.read() as session:
        row = session.scalar(select(Base.metadata.tables["requests"].c.id))
    world.usage.decide(row, "kt", True, "root", True)
    world.usage.release(lease.id, 120_000, "stopped", False)
    made = world.usage.preview_roster("kt", parse_roster(b"email\nann@kt.com\n"), "a", "root")
    world.usage.apply_roster("kt", made.id, "root")
    return world


def ask(world: World, who: str = "ann") -> None:
    with world.database.write() as session:
        person.check_erasable(session, who)
        erasing.ask(session, world.usage, who, "root", "asked for it")


ENTRIES = select(Entry.id, Entry.amount, Entry.at, Entry.key).order_by(Entry.id)


def dump(world: World) -> str:
    with world.database.read() as session:
        tables = Base.metadata.tables.values()
        return "".join(repr(session.execute(select(table)).all()) for table in tables)


def test_everything_about_a_person(kt: World) -> None:
    with kt.database.read() as session:
        found = person.everything(session, "ann")
    assert found["people"][0]["name"] == "안나"
    assert {"enrolments", "accounts", "leases", "entries", "requests", "audit"} <= set(found)
    assert "'bea'" not in repr(found), "nobody else; bare, it can stand in an id"


def test_erased_everywhere_and_the_books_agree(
    kt: World, eraser: erasing.Eraser, elsewhere: Elsewhere
) -> None:
    with kt.database.read() as session:
        before = session.execute(ENTRIES).all()
    ask(kt)
    asyncio.run(eraser.work())
    asyncio.run(eraser.work())
    assert elsewhere.asked == [("hub", "ann"), ("grader", "ann")]
    everything = dump(kt)
    for word in ("'ann'", "ann:", "ann@kt.com", "안나", "my thesis"):
        assert word not in everything, word
    with kt.database.read() as session:
        after = session.execute(ENTRIES).all()
        name = session.scalar(select(LeaseRow.username))
        row = session.scalars(select(Erasure)).one()
    assert before == after
    assert name.startswith("erased:")
    assert (row.username, row.done, row.problem) == ("", ["hub", "grader", "usage"], "")
    books.check(kt.database)


@pytest.mark.parametrize("down", ["hub", "grader"])
def test_what_does_not_answer_is_tried_again(
    kt: World, eraser: erasing.Eraser, elsewhere: Elsewhere, down: str
) -> None:
    ask(kt)
    elsewhere.down = down
    asyncio.run(eraser.work())
    with kt.database.read() as session:
        row = session.scalars(select(Erasure)).one()
    assert row.finished_at is None
    assert down in row.problem
    assert "안나" in dump(kt)
    elsewhere.down = ""
    asyncio.run(eraser.work())
    assert "안나" not in dump(kt)
    assert elsewhere.asked == [("hub", "ann"), ("grader", "ann")], "a step that is done stays done"


@pytest.mark.parametrize(
    ("who", "code"), [("nobody", "person_unknown"), ("erased:12", "person_unknown")]
)
def test_who_cannot_be_erased(kt: World, who: str, code: str) -> None:
    with pytest.raises(No, match=code):
        ask(kt, who)


def test_a_running_lab_comes_first(kt: World) -> None:
    lease = kt.running("bea")
    with pytest.raises(No, match="person_has_lab"):
        ask(kt, "bea")
    kt.usage.release(lease.id, 1000, "stopped", False)
    ask(kt, "bea")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET amount = amount + 1",
        "UPDATE entries SET reason = 'another'",
        "UPDATE entries SET username = 'bea'",
        "UPDATE entries SET username = 'erased:1', amount = 0",
        "DELETE FROM entries",
        "UPDATE audit SET actor = 'bea'",
        "UPDATE audit SET action = 'nothing'",
        "UPDATE audit SET details = '{}'",
        "DELETE FROM audit",
    ],
)
def test_nothing_but_a_pseudonym_is_ever_written_over(kt: World, change: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), kt.database.write() as session:
        session.execute(text(change))


def test_a_cohort_is_announced_then_deleted(kt: World, eraser: erasing.Eraser) -> None:
    kt.cohort("next", ends=(kt.time.wall + timedelta(days=900)).isoformat())
    kt.people("bea", cohort="next")
    end = kt.time.wall + timedelta(days=30)

    def state() -> tuple[bool, bool]:
        eraser.look_at_cohorts()
        with kt.database.read() as session:
            row = session.get_one(Cohort, "kt")
        return row.deletion_announced_at is not None, row.data_deleted_at is not None

    assert state() == (False, False)
    kt.time.wall = end + timedelta(days=336)
    assert state() == (True, False)
    kt.time.wall = end + timedelta(days=364)
    assert state() == (True, False)
    kt.time.wall = end + timedelta(days=367)
    assert state() == (True, True)
    asyncio.run(eraser.work())
    everything = dump(kt)
    assert "안나" not in everything
    assert "Bea" in everything, "bea is in a cohort that goes on"
    with kt.database.read() as session:
        left = session.scalars(select(Membership).where(Membership.cohort_id == "kt")).all()
        acts = [row.action for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]
    assert all(row.removed_at for row in left)
    assert [a for a in acts if a.startswith("retention")] == [
        "retention.announce",
        "retention.delete",
    ]
    books.check(kt.database)


def test_someone_in_two_cohorts_goes_with_the_last(kt: World, eraser: erasing.Eraser) -> None:
    kt.cohort("twin")
    kt.people("bea", cohort="twin")
    kt.usage.put_code("KT-CODE", "kt", 5, "", "trainee")
    for days in (366, 397):  # announced, then deleted
        kt.time.wall = START + timedelta(days=days)
        eraser.look_at_cohorts()
    asyncio.run(eraser.work())
    assert "Bea" not in dump(kt)
    with kt.database.read() as session:
        assert session.scalars(select(Code)).all() == [], "nobody joins what was deleted"


def test_no_roster_names_an_erased_person(kt: World) -> None:
    """Neither a preview that nobody applied nor a place kept for the e-mail address."""
    kt.usage.preview_roster("kt", parse_roster(b"name,email\nAnna Kim,ann@kt.com\n"), "b", "root")
    place = {"cohort_id": "kt", "email": "ann@kt.com", "username": "", "name": "Anna Kim"}
    with kt.database.write() as session:
        session.add(
            Expected(**place, role="trainee", arrived="", made_by="root", created_at=kt.time.wall)
        )
        session.flush()
        person.erase(session, "ann", person.new_pseudonym(), kt.usage.clock)
    assert "Anna Kim" not in dump(kt)


def test_an_earlier_date_is_announced_for_its_full_time(kt: World, eraser: erasing.Eraser) -> None:
    kt.time.wall += timedelta(days=31)
    kt.usage.set_keep_until("kt", kt.time.wall, "root")
    eraser.look_at_cohorts()
    kt.time.wall += timedelta(days=29)
    eraser.look_at_cohorts()
    with kt.database.read() as session:
        row = session.get_one(Cohort, "kt")
        assert row.data_deleted_at is None
        assert dates.due(row, 365, timedelta(days=30)) > kt.time.wall
    kt.time.wall += timedelta(days=2)
    eraser.look_at_cohorts()
    with kt.database.read() as session:
        assert session.get_one(Cohort, "kt").data_deleted_at is not None


def test_never_means_never(kt: World, elsewhere: Elsewhere) -> None:
    eraser = erasing.Eraser(kt.usage, elsewhere, elsewhere, 0, 30)
    kt.time.wall += timedelta(days=20_000)
    eraser.look_at_cohorts()
    with kt.database.read() as session:
        assert session.get_one(Cohort, "kt").deletion_announced_at is None
