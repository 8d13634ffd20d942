"""Event codes and places in cohorts: when they hold, and what ends with them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi import HTTPException

from tests.unit.usage.conftest import START, World, slot
from usage import cohorts
from usage.pages.admin.common import role_in
from usage.refusals import No
from web.auth import Person


def test_a_code_ends_with_its_cohort_whatever_it_says(world: World) -> None:
    world.cohort()
    later = (START + timedelta(days=300)).isoformat()
    world.usage.put_code("LATE-CODE", "kt", 5, later, "trainee")
    world.usage.check_sign_up("LATE-CODE", "ann", "")
    world.time.wall = START + timedelta(days=31)
    with pytest.raises(No, match="code_expired"):
        world.usage.check_sign_up("LATE-CODE", "ann", "")
    with pytest.raises(No, match="code_expired"):
        world.usage.join("LATE-CODE", "ann", "", "")


def test_a_code_stays_with_its_cohort(world: World) -> None:
    """Else a printed code would bring its holders into another cohort."""
    world.cohort()
    world.cohort("other")
    world.usage.put_code("KT-CODE", "kt", 5, "", "trainee")
    with pytest.raises(No, match="code_taken"):
        world.usage.put_code("KT-CODE", "other", 5, "", "trainee")
    assert world.usage.join("KT-CODE", "ann", "", "").cohort == "kt"


def test_a_place_is_open_from_the_cohorts_start_to_its_end(world: World) -> None:
    world.cohort(starts=(START + timedelta(days=2)).isoformat())
    world.people("ann")
    found = []
    for days in (0, 3, 31):
        world.time.wall = START + timedelta(days=days)
        with world.database.read() as session:
            found.append([e.open for e in cohorts.enrolments(session, "ann", world.usage.clock)])
    assert found == [[False], [True], [False]]


def test_whoever_is_removed_gets_no_more_time_and_is_in_no_list(world: World) -> None:
    world.cohort()
    world.people("ann", "bob")
    world.slots(slot(1))
    lease = world.running("ann")
    with world.database.write() as session:
        cohorts.remove(session, "kt", "ann", world.usage.clock)
    assert world.run_for(lease, 250).grant_ms == lease.grant_ms
    with world.database.read() as session:
        assert [m.username for m in cohorts.members(session, "kt")] == ["bob"]
        assert cohorts.enrolments(session, "ann", world.usage.clock) == []


def test_staff_who_were_removed_see_the_cohort_no_more(world: World) -> None:
    world.cohort()
    world.people("ines", role="instructor")
    assert role_in(world.usage, Person("ines"), "kt") == "instructor"
    with world.database.write() as session:
        cohorts.remove(session, "kt", "ines", world.usage.clock)
    with pytest.raises(HTTPException) as refused:
        role_in(world.usage, Person("ines"), "kt")
    assert refused.value.status_code == 404


def test_who_was_removed_has_no_place_past_a_full_code(world: World) -> None:
    world.cohort()
    world.usage.put_code("ONE-SEAT", "kt", 1, "", "trainee")
    world.usage.join("ONE-SEAT", "ann", "", "")
    assert world.usage.join("ONE-SEAT", "ann", "", "").cohort == "kt"
    with world.database.write() as session:
        cohorts.remove(session, "kt", "ann", world.usage.clock)
    with pytest.raises(No, match="code_full"):
        world.usage.join("ONE-SEAT", "ann", "", "")
