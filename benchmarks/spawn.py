"""Start of a lab: from the POST to the answer of the first cell, ours beside stock DockerSpawner.

Both set-ups run on this machine in this run, in turns: one learner alone, 10 and 30 at once. Ours
leases a (simulated) GPU slice for each lab and starts as many at a time as the machine has
processors, the others wait in line, which counts; stock is the usual image, every extension on.
Figures: `ratio_p50` and `ratio_p95` are ours divided by stock, the worst of the three sizes;
`idle_mib` is the memory (PSS) of one idle lab of ours without a kernel.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from benchmarks._learner import Learner, Start, session
from benchmarks._spawn_sides import Side, ours, stock

SIZES = (1, 10, 30)
ALONE_RUNS = 5
"""One start alone says little: the median of several."""
SETTLE_S = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """What one size on one side took; `cpu_s` and `mib` are means over the containers."""

    starts: list[Start]
    cpu_s: float
    mib: float

    def cell(self, quantile: float) -> float:
        """Seconds to the first cell's answer at `quantile` (nearest rank)."""
        ordered = sorted(start.cell for start in self.starts)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]

    @property
    def ready(self) -> float:
        """Median seconds until the Hub said ready."""
        return statistics.median(start.ready for start in self.starts)


def main(say: Say) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure; rows for the table and the figures. Takes about five minutes on 2 cores."""
    client = docker.from_env(timeout=600)
    sizes = _sizes()
    try:
        with ours(max(sizes), say) as a, stock(max(sizes), client, say) as b:
            # Once each, uncounted: first use of an image reads it from disk.
            asyncio.run(_wave(a.learners[:1]))
            asyncio.run(_wave(b.learners[:1]))
            rounds = {
                (side.name, size): _round(side, size, client, say)
                for size in sizes
                for side in (a, b)
            }
            idle = {side.name: _idle(side, client, say) for side in (a, b)}
    finally:
        client.close()
    return rows(rounds, idle), figures(rounds, idle)


def _sizes() -> tuple[int, ...]:
    """The sizes, or those of ``BENCH_SIZES`` (for example ``1,3``) for a quick look."""
    text = os.environ.get("BENCH_SIZES", "")
    return tuple(int(part) for part in text.split(",")) if text else SIZES


def rows(rounds: dict[tuple[str, int], Round], idle: dict[str, float]) -> list[dict[str, Any]]:
    """One row for each size and side."""
    return [
        {
            "at once": size,
            "side": name,
            "ready p50 s": round(found.ready, 2),
            "first cell p50 s": round(found.cell(0.5), 2),
            "first cell p95 s": round(found.cell(0.95), 2),
            "CPU s each": round(found.cpu_s, 2),
            "MiB each, with kernel": round(found.mib),
            "MiB idle (PSS)": round(idle[name]),
        }
        for (name, size), found in rounds.items()
    ]


def figures(rounds: dict[tuple[str, int], Round], idle: dict[str, float]) -> dict[str, Any]:
    """The last line: ratios by size and the worst of them."""
    sizes = sorted({size for _, size in rounds})
    by_size = {
        str(size): {
            f"p{percent}": round(
                rounds["ours", size].cell(percent / 100)
                / rounds["stock", size].cell(percent / 100),
                3,
            )
            for percent in (50, 95)
        }
        for size in sizes
    }
    return {
        "ratio_p50": max(value["p50"] for value in by_size.values()),
        "ratio_p95": max(value["p95"] for value in by_size.values()),
        "idle_mib": round(idle["ours"], 1),
        "stock_idle_mib": round(idle["stock"], 1),
        "sizes": by_size,
    }


def _round(side: Side, size: int, client: docker.DockerClient, say: Say) -> Round:
    starts: list[Start] = []
    used: list[tuple[float, float]] = []

    def measure() -> None:
        used.extend(_usage(container) for container in _containers(side, client))

    for _ in range(ALONE_RUNS if size == 1 else 1):
        say(f"{side.name}: {size} at once")
        starts += asyncio.run(_wave(side.learners[:size], measure))
    return Round(
        starts,
        statistics.mean(cpu for cpu, _ in used),
        statistics.mean(memory for _, memory in used),
    )


async def _wave(learners: list[Learner], running: Callable[[], None] | None = None) -> list[Start]:
    """Start everybody at once, call `running` while all labs run, stop them."""
    async with session() as http:
        try:
            starts = await asyncio.gather(*(learner.start(http) for learner in learners))
            if running:
                running()
            return list(starts)
        finally:
            await asyncio.gather(*(learner.stop(http) for learner in learners))


def _idle(side: Side, client: docker.DockerClient, say: Say) -> float:
    say(f"{side.name}: an idle lab")
    return asyncio.run(_idle_lab(side, client))


async def _idle_lab(side: Side, client: docker.DockerClient) -> float:
    async with session() as http:
        learner = side.learners[0]
        try:
            await learner.start_server(http)
            await asyncio.sleep(SETTLE_S)
            return sum(_pss_mib(container) for container in _containers(side, client))
        finally:
            await learner.stop(http)


def _containers(side: Side, client: docker.DockerClient) -> list[Any]:
    return list(client.containers.list(filters={"label": side.label}))


def _usage(container: Any) -> tuple[float, float]:
    """CPU seconds since the container's start, and its memory in MiB without page cache."""
    seen = container.stats(stream=False)
    memory = seen["memory_stats"]
    details = memory.get("stats", {})
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    return seen["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, (memory["usage"] - cache) / 2**20


def _pss_mib(container: Any) -> float:
    """Memory of all processes in the container; shared pages are counted by their share."""
    total = 0
    for row in container.top(ps_args="-o pid")["Processes"]:
        for line in Path(f"/proc/{row[0]}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


if __name__ == "__main__":
    began = time.monotonic()
    print(*main(print), sep="\n")
    print(f"{time.monotonic() - began:.0f} s")
