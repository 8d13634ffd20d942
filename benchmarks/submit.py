"""A whole event hands in within a minute: what is lost, what is doubled, how long a receipt takes.

    ./dli bench submit [--n 800]

On SQLite and on PostgreSQL (Debian's, waiting for the disk): `n` learners, spread evenly over
`SECONDS` (fewer than `EVENT` at the same rate), each submit a notebook of 200 kB to a real grader
service (a process of its own, its own state folder); then an eighth as many submit 10 MB each. The
Hub's answer about tokens and enrolment are stood in for. Every tenth request is sent a second time
with the same Idempotency-Key, as a client does that did not see the answer. Afterwards every
receipt's bytes are read back and compared. The last line holds the worst figures of both databases,
its p95 that of the 200 kB.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from nbformat import v4, writes

from core.settings import ROOT
from grader.exchange import archive
from tests.unit.usage import postgres

EVENT, SECONDS = 800, 60.0
SMALL, LARGE = 200_000, 10_000_000
_PATH = "/services/grader/api/lab/courses/bench/assignments/a1/submissions"
_MARK = "@@learner@@"
Receipt = dict[str, Any]


@dataclass
class Event:
    """What happened: receipts by learner, and how long each answer took, in seconds."""

    learners: int
    size: int
    receipts: dict[int, list[Receipt]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    seconds: float = 0
    cpu_seconds: float = 0
    """Of the service's process."""


def main(say: Callable[[str], None], n: int = EVENT) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run it; rows and figures. Fewer than `EVENT` come at the same rate, in less time."""
    seconds = SECONDS * min(1.0, n / EVENT)
    rows = []
    for name in ("SQLite", "PostgreSQL"):
        for learners, size in ((n, SMALL), (max(n // 8, 1), LARGE)):
            say(f"{name}: {learners} learners with {size / 1e6:g} MB in {seconds:g} s")
            event, lost, doubled = _run(name, learners, size, seconds)
            rows.append(_row(name, event, lost, doubled))
    small = [row for row in rows if row["MB"] == SMALL / 1e6]
    figures = {
        "submissions": n,
        "seconds": round(max(row["seconds"] for row in small), 1),
        "p95_s": round(max(row["p95 s"] for row in small), 3),
        "lost": sum(row["lost"] for row in rows),
        "doubled": sum(row["doubled"] for row in rows),
    }
    return rows, figures


def _row(name: str, event: Event, lost: int, doubled: int) -> dict[str, Any]:
    return {
        "database": name,
        "submissions": event.learners,
        "MB": event.size / 1e6,
        "seconds": event.seconds,
        "median s": statistics.median(event.waits),
        "p95 s": statistics.quantiles(event.waits, n=20)[-1],
        "slowest s": max(event.waits),
        "service CPU ms each": 1000 * event.cpu_seconds / event.learners,
        "lost": lost,
        "doubled": doubled,
    }


def notebook(number: int, size: int = SMALL) -> bytes:
    """Work of about `size` bytes that no two learners share."""
    return _text(size).replace(_MARK, str(number)).encode()


@cache
def _text(size: int) -> str:
    noise = random.Random(size).randbytes(size // 2 - 500).hex()
    cell = v4.new_code_cell(f"x = 'learner {_MARK}'", id="a")
    image = v4.new_output("display_data", {"image/png": noise})
    return str(writes(v4.new_notebook(cells=[cell, v4.new_code_cell("", id="b", outputs=[image])])))


def _archive(number: int, size: int) -> bytes:
    return archive.build_from({"nb.ipynb": notebook(number, size)})


def _run(database: str, learners: int, size: int, seconds: float) -> tuple[Event, int, int]:
    server = postgres.server(durable=True) if database == "PostgreSQL" else nullcontext("")
    with (
        tempfile.TemporaryDirectory(prefix="dli-bench-") as folder,
        server as url,
        service(Path(folder), url) as (address, process),
    ):
        event = Event(learners, size)
        before = _cpu(process)
        asyncio.run(_happen(address, event, seconds))
        event.cpu_seconds = _cpu(process) - before
        return event, *_check(address, event)


async def _happen(url: str, event: Event, seconds: float) -> None:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as http:
        _text(event.size)
        begun = time.monotonic()

        async def learner(number: int) -> None:
            await asyncio.sleep(begun + number * seconds / event.learners - time.monotonic())
            data = await asyncio.to_thread(_archive, number, event.size)
            for _ in range(2 if number % 10 == 0 else 1):
                asked = time.monotonic()
                answer = await http.post(_PATH, content=data, headers=_headers(number))
                event.waits.append(time.monotonic() - asked)
                answer.raise_for_status()
                event.receipts.setdefault(number, []).append(answer.json())

        await asyncio.gather(*(learner(k) for k in range(event.learners)))
        event.seconds = time.monotonic() - begun


def _headers(number: int) -> dict[str, str]:
    return {"Authorization": f"token lab-l{number}", "Idempotency-Key": f"bench-key-{number}"}


def _check(url: str, event: Event) -> tuple[int, int]:
    """How many receipts' bytes are not there, and how many attempts too many."""
    lost = doubled = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for number in range(event.learners):
            given = event.receipts[number]
            own = http.get(_PATH, headers=_headers(number)).json()
            doubled += max(len(own) - 1, 0) + (len({r["id"] for r in given}) - 1)
            stored = http.get(
                f"/services/grader/api/lab/submissions/{given[0]['id']}/archive",
                headers=_headers(number),
            )
            lost += not (own and stored.content == _archive(number, event.size))
    return lost, doubled


@contextmanager
def service(folder: Path, database: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service on a free port; its address and process. `database` empty: SQLite."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks._submit_service", str(folder), str(port)]
    environment = os.environ | {"DLI_BENCH_DATABASE": database}
    log = folder / "service.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            _wait(url, process, log)
            yield url, process
        finally:
            process.terminate()


def _wait(url: str, service: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if service.poll() is not None:
            break
        try:
            httpx.get(f"{url}/services/grader/healthz", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the service did not start within 60 s:\n{log.read_text()[-3000:]}")


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU that a process has used."""
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def course(folder: Path) -> None:
    """A course of one assignment, whose source is written below `folder`."""
    source = folder / "assignments" / "a1"
    source.mkdir(parents=True)
    (source / "nb.ipynb").write_text(json.dumps(v4.new_notebook()))
    (folder / "course.toml").write_text(
        'id = "bench"\nhours = 1\nimage = "lab-cpu"\ntitle = {en = "B", ko = "B"}\n'
        'summary = {en = "B", ko = "B"}\n[[labs]]\nid = "l"\ntitle = {en = "L", ko = "L"}\n'
        'minutes = {cpu = 1, gpu = 1}\nassignment = "a1"\n'
        '[[assignments]]\nid = "a1"\ntitle = {en = "A", ko = "A"}\n'
    )
