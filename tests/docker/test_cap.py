"""Labs that run out together end at once, and are charged for every millisecond they were held."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import cap
from benchmarks._cap_world import World, world

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

LABS = 6
SECONDS = 22
"""No less than one grant (benchmarks._cap_world): each lab must get its first."""


@pytest.fixture(scope="module")
def services() -> Iterator[World]:
    with world(LABS, print) as found:
        yield found


@pytest.mark.parametrize("name", ["budget", "cohort's end"])
def test_no_lab_outlives_its_grant_by_more_than_a_second(services: World, name: str) -> None:
    found = cap.run(services, name, LABS, SECONDS, print)
    assert len(found.overspend) == LABS
    assert max(found.overspend) <= 1.0, found
    assert max(found.uncharged) <= 0.1, f"an overrun is shown, never hidden: {found}"
    assert max(found.overcharged) <= 0.1, found
    assert found.cap_broken == 0
