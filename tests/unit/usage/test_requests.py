"""One click asks for more; an instructor grants within what the admin allowed, an admin beyond."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from tests.unit.usage import audit
from tests.unit.usage.conftest import HOUR, MINUTE, World, slot
from usage.models import Cohort, Request
from usage.refusals import No


@pytest.fixture
def class_of_two(world: World) -> World:
    world.cohort(gpu=30 * MINUTE, allowance=HOUR, learner_cap=20 * MINUTE)
    world.people("ann", "bob")
    world.slots(slot(1), slot(2))
    return world


def last_request(world: World) -> str:
    with world.database.read() as session:
        row = session.scalars(select(Request).order_by(Request.created_at.desc())).first()
        assert row is not None
        return row.id


def allowance(world: World) -> int:
    with world.database.read() as session:
        return session.get_one(Cohort, "kt").allowance


def test_a_grant_lets_a_lab_go_on_that_was_about_to_stop(class_of_two: World) -> None:
    lease = class_of_two.running("ann")
    order = class_of_two.run_for(lease, 1190)
    assert order.grant_ms == 20 * 60_000, "her own share is used up"
    class_of_two.usage.ask_for_more("ann", 45, "training")
    class_of_two.usage.decide(last_request(class_of_two), "kt", True, "ina", is_admin=False)
    assert class_of_two.usage.tick() == []
    assert class_of_two.run_for(lease, 600, start=1190).grant_ms > 30 * 60_000
    assert (class_of_two.usage.budget("kt").cap, allowance(class_of_two)) == (
        75 * MINUTE,
        15 * MINUTE,
    )
    audit.check(class_of_two.database)


def test_an_instructor_grants_no_more_than_allowed_and_an_admin_does(class_of_two: World) -> None:
    class_of_two.usage.ask_for_more("ann", 61, "")
    request = last_request(class_of_two)
    with pytest.raises(No, match="allowance_used"):
        class_of_two.usage.decide(request, "kt", True, "ina", is_admin=False)
    assert class_of_two.usage.budget("kt").cap == 30 * MINUTE
    class_of_two.usage.decide(request, "kt", True, "root", is_admin=True)
    assert class_of_two.usage.budget("kt").cap == 91 * MINUTE
    assert allowance(class_of_two) == HOUR, "an admin's grant does not use it"
    audit.check(class_of_two.database)


@pytest.mark.parametrize("minutes", [0, -30, 24 * 60 + 1, 10**18])
def test_what_cannot_be_asked_for(class_of_two: World, minutes: int) -> None:
    with pytest.raises(No, match="number_out_of_range"):
        class_of_two.usage.ask_for_more("ann", minutes, "")


def test_answers_at_once_grant_once(class_of_two: World) -> None:
    """Also when the other answer is no, and never out of another cohort's request."""
    class_of_two.cohort("other", gpu=0, allowance=10 * HOUR)
    class_of_two.usage.ask_for_more("ann", 30, "")
    request = last_request(class_of_two)
    with pytest.raises(No, match="request_unknown"):
        class_of_two.usage.decide(request, "other", True, "eve", is_admin=False)
    answers: list[str] = []

    def answer(number: int) -> None:
        try:
            class_of_two.usage.decide(request, "kt", True, f"ina{number}", is_admin=False)
            answers.append("granted")
        except No as no:
            answers.append(no.code)

    threads = [threading.Thread(target=answer, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["granted"] + ["request_unknown"] * 9
    assert class_of_two.usage.budget("kt").cap == 60 * MINUTE
    assert allowance(class_of_two) == 30 * MINUTE
    audit.check(class_of_two.database)
