"""A whole event hands in within a minute: what is lost, what is doubled, how long a receipt takes.

    ./dli bench submit [--n 800]

`n` learners, spread evenly over `SECONDS`, each submit a notebook of 200 kB to a real grader
service (a process of its own, its own state folder, SQLite or the URL in DLI_BENCH_DATABASE);
the Hub's answer about tokens and enrolment are stood in for. Every tenth request is sent a second
time with the same Idempotency-Key, as a client does that did not see the answer. Afterwards every
receipt's bytes are read back and compared.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from nbformat import v4, writes

from core.settings import ROOT
from grader.exchange import archive

SECONDS = 60.0
NOTEBOOK_BYTES = 200_000
_PATH = "/services/grader/api/lab/courses/bench/assignments/a1/submissions"
Receipt = dict[str, Any]


def main(
    say: Callable[[str], None], n: int = 800, seconds: float = SECONDS
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run it; rows and figures."""
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "benchmarks._submit_service", folder, str(port)]
        with subprocess.Popen(command, cwd=ROOT, env=dict(os.environ)) as service:
            try:
                _wait(url, service)
                say(f"{n} learners in {seconds:g} s")
                return _figures(*asyncio.run(_event(url, n, seconds)), url=url, n=n)
            finally:
                service.terminate()


def notebook(number: int) -> bytes:
    """Work of `NOTEBOOK_BYTES` that no two learners share."""
    noise = random.Random(number).randbytes(NOTEBOOK_BYTES // 2 - 1000).hex()
    made = v4.new_notebook(cells=[v4.new_code_cell(f"x = 'learner {number}'\n# {noise}", id="a")])
    return bytes(writes(made).encode())


async def _event(
    url: str, n: int, seconds: float
) -> tuple[dict[int, list[Receipt]], list[float], float]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as http:
        begun = time.monotonic()
        waits: list[float] = []
        receipts: dict[int, list[Receipt]] = {}

        async def learner(number: int) -> None:
            data = archive.build_from({"nb.ipynb": await asyncio.to_thread(notebook, number)})
            await asyncio.sleep(max(0, begun + number * seconds / n - time.monotonic()))
            for _ in range(2 if number % 10 == 0 else 1):
                asked = time.monotonic()
                answer = await http.post(_PATH, content=data, headers=_headers(number))
                waits.append(time.monotonic() - asked)
                answer.raise_for_status()
                receipts.setdefault(number, []).append(answer.json())

        await asyncio.gather(*(learner(k) for k in range(n)))
        return receipts, waits, time.monotonic() - begun


def _headers(number: int) -> dict[str, str]:
    return {"Authorization": f"token lab-l{number}", "Idempotency-Key": f"bench-key-{number}"}


def _figures(
    receipts: dict[int, list[Receipt]], waits: list[float], took: float, *, url: str, n: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lost = doubled = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for number in range(n):
            own = http.get(_PATH, headers=_headers(number)).json()
            doubled += max(len(own) - 1, 0) + (len({r["id"] for r in receipts[number]}) - 1)
            stored = http.get(
                f"/services/grader/api/lab/submissions/{receipts[number][0]['id']}/archive",
                headers=_headers(number),
            )
            whole = archive.build_from({"nb.ipynb": notebook(number)}) == stored.content
            lost += not (own and whole)
    p95 = statistics.quantiles(waits, n=20)[-1]
    row = {"submissions": n, "seconds": took, "median s": statistics.median(waits), "p95 s": p95,
           "slowest s": max(waits), "lost": lost, "doubled": doubled}  # fmt: skip
    figures = {"submissions": n, "seconds": round(took, 1), "p95_s": round(p95, 3),
               "lost": lost, "doubled": doubled}  # fmt: skip
    return [row], figures


def _wait(url: str, service: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if service.poll() is not None:
            raise RuntimeError(f"the service ended with status {service.returncode}")
        try:
            httpx.get(f"{url}/services/grader/", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the service did not start within 60 s")


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
