"""The usage service under a class that starts at once: 300 learners on SQLite and on PostgreSQL.

The real service in a process of its own, spoken to over HTTP with the client that the Hub uses.
Everybody reserves at the same moment, as many at a time as the Hub has threads for it; then all
labs report once (renew), then all end (settle). Each request's time counts from its sending; the
seconds of all starts also hold the waiting for a thread. Figures: `starts` within `seconds` and
`p95_ms` of one start, the worse of the two databases; `locked` counts answers that named a locked
database.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from core import secrets
from core.settings import ROOT
from core.units import UNITS_PER_GPU_HOUR, WHOLE
from core.wire import GpuNeed, Lease, Observation, ReserveRequest, SeenContainer, Slot
from usage.client import CohortSpec, UsageClient, UsageUnavailable

LEARNERS = 300
AT_ONCE = int(os.environ.get("BENCH_AT_ONCE") or min(32, (os.cpu_count() or 1) + 4))
"""Requests under way at the same time: the threads of the Hub's `asyncio.to_thread`, through which
every reservation goes; further starts wait in the Hub. ``BENCH_AT_ONCE`` sets another number."""

HOSTS = 4

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Phase:
    """What one kind of request took: wall seconds in all, and ms of each."""

    seconds: float
    each_ms: list[float]
    failed: list[str]

    @property
    def p95(self) -> float:
        """The 95th percentile in ms (nearest rank)."""
        ordered = sorted(self.each_ms)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def main(say: Say) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure both databases; rows for the table and the figures."""
    rows: list[dict[str, Any]] = []
    starts: list[Phase] = []
    for name, database in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder, database() as url:
            say(f"{name}: starting the service")
            with _service(Path(folder), url) as base:
                phases = _measure(base, Path(folder), say)
        starts.append(phases["reserve"])
        rows += [
            {
                "database": name,
                "what": what,
                "requests": len(phase.each_ms),
                "seconds": round(phase.seconds, 2),
                "per second": round(len(phase.each_ms) / phase.seconds, 1),
                "p50 ms": round(sorted(phase.each_ms)[len(phase.each_ms) // 2], 1),
                "p95 ms": round(phase.p95, 1),
                "failed": len(phase.failed),
            }
            for what, phase in phases.items()
        ]
    return rows, {
        "starts": min(len(p.each_ms) - len(p.failed) for p in starts),
        "seconds": round(max(p.seconds for p in starts), 2),
        "p95_ms": round(max(p.p95 for p in starts), 1),
        "locked": sum("locked" in text for p in starts for text in p.failed),
    }


def _measure(base: str, folder: Path, say: Say) -> dict[str, Phase]:
    with _client(base, folder, "key-cli") as cli, _client(base, folder, "key-agent") as agent:
        _prepare(cli, agent, say)
        with _client(base, folder, "key-hub") as hub:
            leases: list[Lease] = []

            def start(number: int) -> None:
                leases.append(hub.reserve(_ask(number)))

            say("everybody starts")
            phases = {"reserve": _all(start, range(LEARNERS))}
            say("all labs come up")
            phases["activate"] = _all(lambda v: hub.activate(v.id, f"c-{v.id}"), leases)
            say("all labs report")
            phases["renew (a host)"] = _all(lambda h: _report(agent, h, leases), range(HOSTS), 1)
            say("all labs end")
            phases["settle"] = _all(lambda v: hub.release(v.id, 200_500, "stopped"), leases)
        charged = cli.budget("class").settled
    expected = sum(200_500 * lease.weight for lease in leases)
    if charged != expected:
        raise RuntimeError(f"charged {charged} units, not {expected}")
    return phases


def _prepare(cli: UsageClient, agent: UsageClient, say: Say) -> None:
    now = datetime.now(UTC)
    cli.create_cohort(
        CohortSpec(
            "class",
            "Class",
            starts=(now - timedelta(days=1)).isoformat(),
            ends=(now + timedelta(days=1)).isoformat(),
            courses=["intro-dl"],
        )
    )
    cli.grant("class", 10_000 * UNITS_PER_GPU_HOUR, "bench", "bench", "bench")
    say("enrolling")
    for number in range(LEARNERS):
        cli.enrol("class", f"learner-{number}")
    each = -(-LEARNERS // (HOSTS * 7)) * 7
    for host in range(HOSTS):
        agent.put_inventory(
            f"host-{host}",
            [
                Slot(
                    id=f"MIG-{host}-{n}",
                    device=f"MIG-{host}-{n}",
                    gpu=f"GPU-{host}-{n // 7}",
                    host=f"host-{host}",
                    kind="mig",
                    model="GPU",
                    memory_mb=10_000,
                    weight=WHOLE // 7,
                    simulated=True,
                )
                for n in range(each)
            ],
        )


def _ask(number: int) -> ReserveRequest:
    name = f"learner-{number}"
    return ReserveRequest(f"spawn-{number}", name, "class", "intro-dl", "lab", GpuNeed("mig"))


def _report(agent: UsageClient, host: int, leases: list[Lease]) -> None:
    mine = [lease for lease in leases if lease.slots[0].host == f"host-{host}"]
    seen = [SeenContainer(f"c-{lease.id}", lease.id, 200_000, True) for lease in mine]
    agent.observe(f"host-{host}", Observation("boot", seen))


def _all(call: Callable[[T], object], items: Iterable[T], at_once: int = AT_ONCE) -> Phase:
    each_ms: list[float] = []
    failed: list[str] = []

    def timed(item: T) -> None:
        began = time.perf_counter()
        try:
            call(item)
        except Exception as error:
            failed.append(str(error))
        each_ms.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(timed, list(items)))
    return Phase(time.perf_counter() - began, each_ms, failed)


@contextmanager
def _client(base: str, folder: Path, key: str) -> Iterator[UsageClient]:
    client = UsageClient(base, secrets.load(folder, key), timeout=60)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _sqlite() -> Iterator[str]:
    yield ""  # the service's own file


@contextmanager
def _postgres() -> Iterator[str]:
    from tests.unit.usage import postgres

    with postgres.server(durable=True) as url:
        yield url


@contextmanager
def _service(folder: Path, database: str) -> Iterator[str]:
    """The service on a free port with its own state folder; its address."""
    secrets.ensure(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("DLI_")},
        "DLI_STATE_DIR": str(folder),
        "DLI_PORTS__USAGE": str(port),
        "DLI_USAGE__DATABASE": database,
    }
    log = folder / "usage.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "usage"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        base = f"http://127.0.0.1:{port}/services/usage"
        _wait(base, folder, process, log)
        yield base
    finally:
        process.terminate()
        watchdog = threading.Timer(20, process.kill)
        watchdog.start()
        process.wait()
        watchdog.cancel()


def _wait(base: str, folder: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    with _client(base, folder, "key-cli") as cli:
        while True:
            try:
                cli.enrolments("nobody")
                return
            except UsageUnavailable:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the service did not start:\n{log.read_text()}") from None
                time.sleep(0.1)
