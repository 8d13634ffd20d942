"""From Submit to the result on the learner's page, while nothing else goes on.

    ./dli bench visible [--n 20]

The real way: the service, a worker and the grading container, which has been ready since the
assignment was published. A learner submits; their page then looks once a second, as it does in a
browser, until it shows the visible tests. The Hub's answer about tokens and enrolment are stood in
for. The last line is one JSON object.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from core.settings import load
from grader.classwork import PARALLEL
from grader.exchange import archive
from grader.worker import Worker
from grader.zygote.sandbox import ZygoteSandbox
from tests.grading import Service, running, working
from tests.grading_course import source_notebook

LOOK_SECONDS = 1.0
"""The page asks again so often (grader/templates/grader/submission.html)."""
LONGEST_SECONDS = 60.0


def main(say: Callable[[str], None], n: int = 20) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Submit `n` times, one after the other; rows and figures."""
    warnings.simplefilter("ignore")  # of SQLAlchemy, about nbgrader's order of adding rows
    image = load().labs.sandbox_image
    waits = []
    with (
        tempfile.TemporaryDirectory(prefix="dli-bench-") as folder,
        running(Path(folder)) as service,
        _working(service, image),
    ):
        _publish(service)
        for number in range(n):
            time.sleep(random.uniform(0.5, 1.5))  # idle; no step with the worker's looks
            waits.append(_once(service, number))
            say(f"{number + 1} of {n}: {waits[-1]:.2f} s")
    ordered = sorted(waits)
    figures = {
        "n": n,
        "median_s": round(statistics.median(waits), 2),
        "p95_s": round(ordered[min(n - 1, int(0.95 * n))], 2),
        "worst_s": round(ordered[-1], 2),
    }
    return [figures], figures


@contextmanager
def _working(service: Service, image: str) -> Iterator[None]:
    """A worker with the real sandbox, and pages that believe a header."""
    labs = service.settings.labs.model_copy(update={"sandbox_image": image})
    settings = service.settings.model_copy(update={"labs": labs})
    with (
        service.believing_a_header(),
        ZygoteSandbox(settings, PARALLEL) as sandbox,
        working(Worker(settings, service.app.state.desk.database, sandbox)),
    ):
        yield


def _publish(service: Service) -> None:
    client = service.client("ines")
    job = client.act("c1", "sums", "publish")["job"]
    until = time.monotonic() + LONGEST_SECONDS
    while client.job(job)["state"] != "done":
        if time.monotonic() > until:
            raise SystemExit(f"not published: {client.job(job)}")
        time.sleep(0.2)
    time.sleep(5)  # the grading container starts


def _once(service: Service, number: int) -> float:
    """Seconds from Submit until the page shows the tests."""
    notebook = source_notebook()
    notebook["metadata"]["attempt"] = number
    data = archive.build_from({"sums.ipynb": json.dumps(notebook).encode()})
    begun = time.monotonic()
    receipt = service.client("ada").submit("c1", "sums", data)
    headers = {"x-person": "ada", "accept-language": "en"}
    page = f"{service.url}/submissions/{receipt.id}"
    while time.monotonic() - begun < LONGEST_SECONDS:
        text = httpx.get(page, headers=headers, trust_env=False).text
        if "Tests that you can see" in text and "is being run" not in text:
            return time.monotonic() - begun
        time.sleep(LOOK_SECONDS)
    raise SystemExit(f"nothing to see after {LONGEST_SECONDS:.0f} s")
