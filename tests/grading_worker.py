"""A worker to be killed.

The real loop, gradebook and queue; the sandbox is stood in for by one that finds everything right,
and claims are short, so that what a dead worker held is soon taken up again.
"""

from __future__ import annotations

import threading
import time
import warnings
from pathlib import Path

from core.settings import Settings
from grader import jobs, worker
from grader.database import open_database
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


def settings(folder: Path, port: int, database: str = "") -> Settings:
    """As benchmarks/_submit_service.py has them; `database` empty: SQLite."""
    return Settings(
        instance="bench",
        state_dir=folder / "var",
        courses_dir=folder / "courses",
        ports={"grader": port},
        grader={"database": database},
    )


def main(folder: Path, port: int, database: str = "") -> None:
    """Work until killed."""
    warnings.simplefilter("ignore")
    jobs.CLAIM_SECONDS = 3
    worker._RENEW_SECONDS = 1
    given = settings(folder, port, database)
    worker.Worker(given, open_database(given.grader_database), Agreeable()).run(threading.Event())
