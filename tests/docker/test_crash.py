"""Parts of the platform are killed while labs run: `./dli bench crash` in a shortened form."""

from __future__ import annotations

import pytest

from benchmarks import crash

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

HEARTBEAT_S = 10


def test_no_lab_is_lost_or_charged_twice_when_parts_are_killed() -> None:
    found = crash.run(kills=5, seed=2, learners=3, say=print)  # each part at least once
    assert found["faults"] == []
    assert found["kills"] == 5
    assert found["labs"] >= 1
    assert (found["lost"], found["doubled"], found["outlived"]) == (0, 0, 0)
    assert found["unaccounted_s_per_crash"] <= HEARTBEAT_S
