"""`kill -9` of service and workers while work comes in: nothing lost, nothing doubled.

The full form, 200 kills during 2,000 submissions, is `./dli bench crash-coursework`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash_coursework import Crashes, World, run

LEARNERS = 60
KILLS = 8


@pytest.mark.timeout(300)
def test_kill_9_of_service_and_workers(tmp_path: Path) -> None:
    found = run(World(tmp_path, ""), LEARNERS, KILLS, print)
    found.seconds = 0
    assert found == Crashes(submissions=LEARNERS, kills=KILLS, graded=LEARNERS)
