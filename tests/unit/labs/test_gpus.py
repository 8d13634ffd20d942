"""What GPUs do and for whom, through the stand-in NVML; decisions on what is quiet and what a
stray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.clock import boot_ms
from labs import gpu_watch, gpus
from labs.gpus import NO_CONTAINER, NO_LEASE, NOT_ITS_GPU, Device, Process, quiet, strays
from labs.watch import Memory, Watched
from tests.fakes import nvml

READ = """
import json
from dataclasses import asdict
from labs import gpus
found = gpus.read()
print(json.dumps(None if found is None else [asdict(one) for one in found]))
"""
STATE = """\
gpu|GPU-1|NVIDIA H100|81559|ok
util|GPU-1|37
proc|GPU-1|123|500|37
proc|GPU-1|124|500|0
gpu|GPU-2|NVIDIA H100|81559|ok
mig|MIG-1|H100 MIG 1g.10gb|9856|1
mig|MIG-2|H100 MIG 1g.10gb|9856|1
proc|MIG-2|125|10|-
gpu|GPU-3|NVIDIA L4|23034|ok
proc|GPU-3|126|10|-
gpu|GPU-4|NVIDIA L4|23034|lost
"""


def one(pid: int, percent: int | None, memory_mb: int = 10) -> dict[str, object]:
    return {"pid": pid, "memory_mb": memory_mb, "percent": percent}


def test_utilisation_and_processes_by_device(tmp_path: Path) -> None:
    folder, state = nvml.build(tmp_path), tmp_path / "state"
    state.write_text(STATE)
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env=nvml.environment(folder, state),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        {
            "id": "GPU-1",
            "gpu": "GPU-1",
            "percent": 37,
            "processes": [one(123, 37, 500), one(124, 0, 500)],
        },
        {"id": "MIG-1", "gpu": "GPU-2", "percent": None, "processes": []},
        {"id": "MIG-2", "gpu": "GPU-2", "percent": None, "processes": [one(125, None)]},
        {"id": "GPU-3", "gpu": "GPU-3", "percent": None, "processes": [one(126, None)]},
    ]


def device(percent: int | None, *processes: Process, name: str = "G") -> dict[str, Device]:
    return {name: Device(name, name, percent, processes)}


MINE, OTHER = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (device(0, Process(1, 500, 0)), True),  # memory is held, nothing computes
        (device(1, Process(1, 500, 1)), False),
        (device(80, Process(1, 5, 0), Process(2, 5, 80)), True),  # a neighbour of the same GPU
        (device(80, Process(1, 5, None), Process(2, 5, None)), False),  # whose work: unknown
        (device(None), True),  # a MIG slice without any process
        (device(None, Process(1, 5, None)), False),  # MIG tells no utilisation: unknown
        (device(50, Process(9, 5, 50)), False),  # ended meanwhile: it may have been mine
        ({"G": Device("G", "G", None, None)}, False),  # nobody may look
        ({"G": Device("G", "G", 0, None)}, True),
        ({}, False),  # the GPU fell off the bus
    ],
)
def test_what_is_known_to_be_quiet(seen: dict[str, Device], expected: bool) -> None:
    assert quiet(["G"], MINE, seen, {1: MINE, 2: OTHER}) is expected


def test_a_lab_is_quiet_when_all_its_gpus_are() -> None:
    both = {**device(0, name="G"), **device(3, Process(1, 5, 3), name="H")}
    assert not quiet(["G", "H"], MINE, both, {1: MINE})
    assert not quiet([], MINE, both, {}), "a simulated GPU is not looked at"


def test_who_holds_a_gpu_without_a_lease() -> None:
    found = strays(
        [
            Device("G", "G", 5, tuple(Process(pid, 5, 1) for pid in (1, 2, 3, 4, 5))),
            Device("M", "G", None, None),
        ],
        {1: MINE, 2: OTHER, 3: "", 4: "c" * 64},  # 5 has ended
        {MINE: frozenset(["G"]), "c" * 64: frozenset(["H"])},
    )
    assert [(p.pid, why) for _, p, why in found] == [
        (2, NO_LEASE),
        (3, NO_CONTAINER),
        (4, NOT_ITS_GPU),
    ]


def test_the_container_of_a_process(tmp_path: Path) -> None:
    for pid, text in (
        ("1", f"12:memory:/docker/{MINE}\n0::/docker/{MINE}/init\n"),
        ("2", "0::/\n"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(text)
    assert gpus.container_of(1, tmp_path) == MINE
    assert gpus.container_of(2, tmp_path) == ""
    assert gpus.container_of(3, tmp_path) is None
    assert gpus.name_of(os.getpid()) != ""


class Looks:
    """A GpuWatch whose GPUs are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[Device] | None = []
        self.watch = gpu_watch.GpuWatch()
        monkeypatch.setattr(gpus, "read", lambda: self.found)
        monkeypatch.setattr(gpus, "container_of", {1: MINE, 2: OTHER}.get)

    def at(self, now: int, percent: int | None, *processes: Process) -> int | None:
        self.found = [Device("G", "G", percent, processes)]
        self.watch.look([Watched(MINE, "lease-1", 1, 0, 0, devices=["G"])], now)
        return self.watch.quiet_ms(MINE, now)


def test_quiet_counts_from_the_last_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)
    assert looks.at(1_000, 40, Process(1, 5, 40)) is None
    assert looks.at(2_000, 0) == 0
    assert looks.at(9_000, 0) == 7_000
    assert looks.at(10_000, 1, Process(1, 5, 1)) is None
    assert looks.at(11_000, 0) == 0
    looks.found = None  # the driver has gone
    looks.watch.look([], 12_000)
    assert looks.watch.quiet_ms(MINE, 12_000) is None


def test_a_stray_is_told_once_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)
    looks.at(1_000, 5, Process(2, 700, 5))
    assert looks.watch.strays(1_000) == [], "a lab may be newer than the last look at Docker"
    looks.at(6_000, 5, Process(2, 700, 5))
    (found,) = looks.watch.strays(6_000)
    assert (found.pid, found.container, found.why, found.memory_mb) == (2, OTHER, NO_LEASE, 700)
    looks.at(7_000, 0)
    assert looks.watch.strays(60_000) == []


def test_devices_survive_a_restart_of_the_agent(tmp_path: Path) -> None:
    lab = Watched(MINE, "lease-1", 1, 0, 0, devices=["MIG-1"])
    Memory("boot", {}, {MINE: lab}).save(tmp_path / "agent.json")
    assert Memory.load(tmp_path / "agent.json", "boot", boot_ms()).labs[MINE].devices == ["MIG-1"]
