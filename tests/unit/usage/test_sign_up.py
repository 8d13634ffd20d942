"""Sign-up at the usage service: consent with the seat or neither, and rostered people's places."""

from __future__ import annotations

import pytest

from core import consent
from tests.unit.usage.conftest import World, slot
from usage.client import ConsentGiven
from usage.consents import history
from usage.refusals import No

TEXT = consent.read(consent.DEFAULT)
ALL = ["course", "improve", "news"]


def given(*items: str, version: str = TEXT.version) -> ConsentGiven:
    return ConsentGiven(version, list(items or ("course",)), "ko")


def sign_up(world: World, who: str, answer: ConsentGiven, email: str = "") -> str:
    return world.usage.sign_up(
        "KT-2026", who, email or f"{who}@kt.com", who.title(), TEXT, answer
    ).cohort


@pytest.fixture
def kt(world: World) -> World:
    world.cohort()
    world.usage.put_code("KT-2026", "kt", 2, "", "trainee")
    return world


def answers(world: World, who: str) -> list[tuple[str, str, bool]]:
    with world.database.read() as session:
        return [(row.item, row.version, row.given) for row in history(session, who)]


def test_every_item_is_recorded_with_the_version_and_the_text(kt: World) -> None:
    assert sign_up(kt, "ann", given("course", "news")) == "kt"
    assert answers(kt, "ann") == [
        ("course", TEXT.version, True),
        ("improve", TEXT.version, False),
        ("news", TEXT.version, True),
    ]
    with kt.database.read() as session:
        row = history(session, "ann")[0]
    assert (row.sha256, row.language, row.at) == (TEXT.sha256, "ko", kt.time.wall)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (given("improve", "news"), "consent_missing"),
        (given(*ALL, version="2019-01"), "consent_changed"),
    ],
)
def test_without_consent_there_is_no_seat(kt: World, answer: ConsentGiven, code: str) -> None:
    with pytest.raises(No, match=code):
        sign_up(kt, "ann", answer)
    assert kt.usage.enrolments("ann") == []
    assert answers(kt, "ann") == []
    assert sign_up(kt, "bob", given()) == sign_up(kt, "cho", given()) == "kt", "no seat was taken"


def test_a_full_code_records_no_consent(kt: World) -> None:
    for who in ("ann", "bob"):
        sign_up(kt, who, given())
    with pytest.raises(No, match="code_full"):
        sign_up(kt, "cho", given())
    assert answers(kt, "cho") == []


def test_optional_items_are_withdrawn_and_given_again_and_every_word_is_kept(kt: World) -> None:
    sign_up(kt, "ann", given(*ALL))
    kt.usage.set_consent("ann", TEXT, {"improve"}, "en")
    kt.usage.set_consent("ann", TEXT, {"improve"}, "en")
    kt.usage.set_consent("ann", TEXT, set(), "en")
    now = {one.item.id: one.given for one in kt.usage.consent_of("ann", TEXT)}
    assert now == {"course": True, "improve": False, "news": False}
    changes = [(item, was) for item, _version, was in answers(kt, "ann")][3:]
    assert changes == [("news", False), ("improve", False)], "and nothing twice"


def test_a_rostered_trainee_takes_the_place_with_the_same_address(kt: World) -> None:
    for who in ("ann", "bob"):
        sign_up(kt, who, given())
    kt.usage.enrol("kt", "minji", "trainee", "Minji@KT.com", "김민지")
    kt.usage.check_sign_up("KT-2026", "minji", "minji@kt.com")
    assert sign_up(kt, "minji", given(), "minji@kt.com") == "kt", "though the code is full"


def test_nobody_else_takes_it(kt: World) -> None:
    kt.usage.enrol("kt", "minji", "trainee", "minji@kt.com")
    kt.usage.enrol("kt", "nomail", "trainee")
    kt.usage.enrol("kt", "ina", "instructor", "ina@kt.com")
    kt.cohort("other")
    kt.usage.put_code("OTHER-26", "other", 5, "", "trainee")
    for code, who, email, why in (
        ("KT-2026", "minji", "eve@evil.example", "name_rostered"),
        ("KT-2026", "nomail", "", "name_rostered"),
        ("OTHER-26", "minji", "minji@kt.com", "name_rostered"),
        ("KT-2026", "ina", "ina@kt.com", "name_taken"),
    ):
        with pytest.raises(No, match=why):
            kt.usage.check_sign_up(code, who, email)
        with pytest.raises(No, match=why):
            kt.usage.sign_up(code, who, email, "Eve", TEXT, given())


def test_whoever_has_worked_is_not_taken_over(kt: World) -> None:
    kt.usage.enrol("kt", "minji", "trainee", "minji@kt.com")
    kt.slots(slot(1))
    kt.reserve("minji")
    with pytest.raises(No, match="name_taken"):
        kt.usage.check_sign_up("KT-2026", "minji", "minji@kt.com")


def test_a_sign_up_that_broke_off_half_way_can_be_sent_again(kt: World) -> None:
    assert sign_up(kt, "ann", given()) == sign_up(kt, "ann", given(*ALL)) == "kt"
    now = {one.item.id: one.given for one in kt.usage.consent_of("ann", TEXT)}
    assert all(now.values())
    assert sign_up(kt, "bob", given()) == "kt", "one seat only"
