"""A worker to be killed.

What `python -m grader.worker` runs: loop, queue, gradebook, grading containers. Claims are short,
so that what a dead worker held is soon taken up again.
"""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

from core.settings import Settings
from grader import jobs, worker
from grader.classwork import PARALLEL
from grader.database import open_database
from grader.zygote.sandbox import ZygoteSandbox


def settings(folder: Path, port: int, database: str = "") -> Settings:
    """As benchmarks/_submit_service.py has them; `database` empty: SQLite.

    Grading containers are labelled with the service's port, which no neighbour has.
    """
    return Settings(
        instance=f"bench-{port}",
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
    with ZygoteSandbox(given, PARALLEL) as sandbox:
        worker.Worker(given, open_database(given.grader_database), sandbox).run(threading.Event())
