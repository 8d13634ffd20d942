"""From a roster to enrolments: what is previewed is what is done, again does nothing more, and
people without an account get their place when they sign up."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from tests.unit.usage.conftest import World
from usage.audit import AuditRow
from usage.models import Membership
from usage.refusals import No
from usage.roster import imports, parse_roster
from usage.roster.models import Expected, RosterImport

ROSTER = """email,username,name,role
ann@kt.com,,Ann,trainee
bea@kt.com,,Bea,assistant
new@kt.com,,새 사람,trainee
lecturer@kt.com,,강사,instructor
not-an-address,,x,
ann@kt.com,,Anna,trainee
,cal,Cal,instructor
"""


@pytest.fixture
def kt(world: World) -> World:
    world.cohort("kt")
    world.cohort("other", gpu=0)
    world.usage.put_code("KT-2026", "kt", 1, "", "trainee")
    for name in ("ann", "bea"):
        world.usage.enrol("other", name, "trainee", f"{name.title()}@kt.com", name)
    world.usage.enrol("kt", "cal", "trainee")
    return world


def show(world: World, text: str = ROSTER) -> imports.Preview:
    return world.usage.preview_roster("kt", parse_roster(text.encode()), "a.csv", "root")


def acts(preview: imports.Preview) -> list[tuple[int, str, str]]:
    return [(s.row.line, s.act, s.why.code if s.why else s.who) for s in preview.steps]


def members(world: World, cohort: str = "kt") -> dict[str, str]:
    with world.database.read() as session:
        query = select(Membership).where(
            Membership.cohort_id == cohort, Membership.removed_at.is_(None)
        )
        return {row.username: row.role for row in session.scalars(query)}


def expected(world: World) -> list[tuple[str, str, str]]:
    with world.database.read() as session:
        return [(e.email, e.role, e.arrived) for e in session.scalars(select(Expected))]


def test_a_preview_says_what_happens_to_each_row_and_writes_nothing(kt: World) -> None:
    preview = show(kt)
    assert acts(preview) == [
        (2, "enrol", "ann"),
        (3, "confirm", "bea"),
        (4, "expect", ""),
        (5, "expect", ""),
        (6, "out", "email"),
        (7, "out", "contradicts"),
        (8, "change", "cal"),
    ]
    assert preview.writes == 5
    assert (members(kt), expected(kt)) == ({"cal": "trainee"}, [])


def test_what_was_shown_is_done_and_again_does_nothing(kt: World) -> None:
    preview = show(kt)
    for _ in range(2):
        done, applied = kt.usage.apply_roster("kt", preview.id, "root")
        assert applied
        assert done.applied
    assert members(kt) == {"ann": "trainee", "cal": "instructor"}
    assert expected(kt) == [
        ("bea@kt.com", "assistant", "bea"),
        ("new@kt.com", "trainee", ""),
        ("lecturer@kt.com", "instructor", ""),
    ]
    again = show(kt)
    assert again.writes == 0
    assert [act for _, act, _ in acts(again)][:4] == ["same", "waits", "waits", "waits"]
    with kt.database.read() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.action == "roster.import")).all()
        kept = session.get_one(RosterImport, preview.id)
    assert [(row.actor, row.scope) for row in rows] == [("root", "kt")]
    assert kept.steps == [], "no names are kept once it is done"


def test_a_world_that_changed_writes_nothing_and_shows_again(kt: World) -> None:
    preview = show(kt)
    kt.usage.enrol("kt", "ann", "assistant")
    shown, applied = kt.usage.apply_roster("kt", preview.id, "root")
    assert not applied
    assert acts(shown)[0] == (2, "change", "ann")
    assert members(kt) == {"cal": "trainee", "ann": "assistant"}
    assert kt.usage.apply_roster("kt", preview.id, "root")[1]
    assert members(kt)["ann"] == "trainee"


def test_a_preview_is_for_its_maker_and_cohort_and_lasts_a_day(kt: World) -> None:
    preview = show(kt)
    for cohort, who in (("kt", "eve"), ("other", "root")):
        with pytest.raises(No, match="roster_gone"):
            kt.usage.apply_roster(cohort, preview.id, who)
    kt.time.jump(25)
    show(kt)
    with pytest.raises(No, match="roster_gone"):
        kt.usage.apply_roster("kt", preview.id, "root")


def test_people_get_their_place_when_they_sign_up(kt: World) -> None:
    kt.usage.apply_roster("kt", show(kt).id, "root")
    assert kt.usage.join("KT-2026", "newcomer", "New@KT.com", "").role == "trainee"
    # The code gives trainees; the roster says instructor: an admin has to say so.
    assert kt.usage.join("KT-2026", "lee", "lecturer@kt.com", "").role == "trainee"
    assert ("lecturer@kt.com", "instructor", "lee") in expected(kt)
    with kt.database.read() as session:
        place = session.scalar(select(Expected.id).where(Expected.arrived == "lee"))
    kt.usage.confirm_expected("kt", place, "root")
    assert members(kt)["lee"] == "instructor"
    assert expected(kt) == [("bea@kt.com", "assistant", "bea")]
    with pytest.raises(No, match="expected_unknown"):
        kt.usage.confirm_expected("kt", place, "root")


def test_the_roster_is_the_seat(kt: World) -> None:
    kt.usage.apply_roster("kt", show(kt).id, "root")
    kt.usage.join("KT-2026", "stranger", "x@y.zz", "")
    kt.usage.check_sign_up("KT-2026", "newcomer", "new@kt.com")
    kt.usage.join("KT-2026", "newcomer", "new@kt.com", "")
    with pytest.raises(No, match="code_full"):
        kt.usage.join("KT-2026", "another", "z@y.zz", "")


def test_an_address_gives_nothing_in_another_cohort_without_an_admin(kt: World) -> None:
    kt.usage.apply_roster("kt", show(kt).id, "root")
    kt.usage.put_code("OTHER-26", "other", 5, "", "instructor")
    kt.usage.join("OTHER-26", "eve", "new@kt.com", "")
    assert "eve" not in members(kt)
    assert ("new@kt.com", "trainee", "eve") in expected(kt)


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("email,username\nann@kt.com,bea\n", (2, "enrol", "ann")),
        ("email,username\nother@kt.com,ann\n", (2, "out", "other_email")),
        ("email,username\nother@kt.com,cal\n", (2, "same", "cal")),
        ("username\nnobody\n", (2, "expect", "")),
        ("username,role\ncal,\n", (2, "same", "cal")),
    ],
)
def test_whom_a_row_means(kt: World, text: str, act: tuple[int, str, str]) -> None:
    assert acts(show(kt, text)) == [act]


def test_two_accounts_with_one_address_are_not_guessed_at(kt: World) -> None:
    kt.usage.enrol("other", "ann2", "trainee", "ann@kt.com")
    assert acts(show(kt, "email\nann@kt.com\n")) == [(2, "out", "ambiguous")]


def test_one_person_under_two_keys_is_taken_once(kt: World) -> None:
    text = "email,username\nann@kt.com,\n,ann\n"
    assert acts(show(kt, text)) == [(2, "enrol", "ann"), (3, "out", "repeated")]


def test_a_full_roster_is_quick(kt: World) -> None:
    rows = "".join(f"p{n}@kt.com,사람 {n}\n" for n in range(5_000))
    preview = show(kt, f"email,name\n{rows}")
    kt.usage.apply_roster("kt", preview.id, "root")
    with kt.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Expected)) == 5_000
    assert show(kt, f"email,name\n{rows}").writes == 0
