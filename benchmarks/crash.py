"""Crashes: parts of the platform are killed at random points while labs run.

Usage service, Hub, agent and Docker engine are killed by SIGKILL and started again at once, while
six learners start, use and stop GPU labs, real containers with the arguments of a lab (a server of
a few lines instead of JupyterLab). The engine is one of our own, in namespaces of its own (network,
mounts, processes), with `live-restore`, as docs/reference/gpu-time.md asks for; needs root. Held
times are measured apart from the platform, by the kernel's word. ``BENCH_KILLS`` sets how many
kills.

Figures: `lost` labs that ended although nobody stopped them and their grant lasted, and leases that
are gone; `doubled` labs charged for more than they were held, and books that do not add up;
`outlived` labs that ran beyond their grant; `unaccounted_s_per_crash` held and not charged, over
all labs. A heartbeat is 10 s, so 10 is the most that may be unaccounted for a lab and a crash.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.settings import ROOT, Settings
from tests.docker import gpu_engine
from tests.platform import shared_node, wait_for

KILLS, LEARNERS = 200, 6
_REAPER = '"$@"; exit $?'
"""A shell as first process of the new namespace: it takes in what dead parents leave."""

Say = Callable[[str], None]


def run(kills: int, seed: int, learners: int, say: Say) -> dict[str, Any]:
    """The figures, with `faults` in words. Raises RuntimeError when the play itself fails."""
    shared_node(Settings())  # the play has a network of its own and could not fetch it
    folder = Path(tempfile.mkdtemp(prefix="crash-"))  # short: socket paths have 108 bytes
    process = subprocess.Popen(
        [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", _REAPER, "sh", sys.executable, "-m", "benchmarks._crash_play"),
            *(str(word) for word in (folder, kills, seed, learners)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        return _figures(process, say)
    finally:
        process.kill()
        process.wait()
        gpu_engine.remove_cgroups(folder.name)
        wait_for("the end of the engine's files", lambda: _removed(folder), 20)


def _removed(folder: Path) -> bool:
    """The kernel may still be at the engine's mounts."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _figures(process: subprocess.Popen[str], say: Say) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        say(line.strip())
    output = process.stdout.read()
    if process.wait() != 0:
        raise RuntimeError("".join(said[-100:]) + output)
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    for line in found.pop("evidence"):
        print(line, file=sys.stderr)
    return found


def main(say: Say) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure; rows for the table and the figures. 200 kills take about ten minutes."""
    figures = run(int(os.environ.get("BENCH_KILLS") or KILLS), 1, LEARNERS, say)
    faults = figures.pop("faults")
    for fault in faults:
        say(fault)
    return [figures | {"first fault": faults[0] if faults else ""}], figures
