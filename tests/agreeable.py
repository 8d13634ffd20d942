"""A sandbox that finds everything right, for tests of what comes after the grading container."""

from __future__ import annotations

import time

from grader.protocol import Outcome, Test
from grader.runner import Task

SECONDS = 0.05


class Agreeable:
    """All tests pass, after a moment."""

    def run(self, task: Task) -> Outcome:
        time.sleep(SECONDS)
        tests = {
            c.index: Test(index=c.index, outcome="pass") for c in task.cells if c.test is not None
        }
        return Outcome(cells={}, tests=tests)
