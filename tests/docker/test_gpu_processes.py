"""GPU processes are told to their labs through real containers: NVML's pid, its cgroup, its lab."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.docker import tiny_image
from tests.fakes import nvml

pytestmark = pytest.mark.docker

LOOK = """
import json, sys
from dataclasses import asdict
from labs.gpu_watch import GpuWatch
from labs.watch import Watched
lab = Watched(sys.argv[1], "lease-1", 1, 0, 0, devices=["GPU-1"])
watch = GpuWatch()
for now in (1_000, 7_000):
    watch.look([lab], now)
quiet = watch.quiet_ms(lab.container_id, 7_000)
print(json.dumps([quiet, [asdict(one) for one in watch.strays(7_000)]]))
"""


@pytest.fixture(scope="module")
def containers() -> Iterator[list[tuple[str, int]]]:
    """A lab and a stranger: ids and the pids of a process inside, as the host numbers them."""
    client = docker.from_env(timeout=60)
    name = f"gpup-{secrets.token_hex(4)}"
    image = tiny_image.load(client, f"{name}:1")
    made = []
    try:
        for part in ("lab", "stranger"):
            made.append(
                client.containers.run(
                    image, ["sleep", "300"], name=f"{name}-{part}", detach=True, network="none"
                )
            )
        for one in made:
            one.reload()
        yield [(one.id, one.attrs["State"]["Pid"]) for one in made]
    finally:
        for one in made:
            one.remove(force=True, v=True)
        client.images.remove(image, force=True)
        client.close()


def look(folder: Path, lab: str, lines: str) -> tuple[int | None, list[dict[str, object]]]:
    state = folder / "gpus.txt"
    state.write_text(f"gpu|GPU-1|NVIDIA H100|81559|ok\n{lines}")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, lab],
        env=nvml.environment(folder, state),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    quiet, strays = json.loads(done.stdout)
    return quiet, strays


def test_work_is_its_labs_and_a_strangers_process_is_a_stray(
    tmp_path: Path, containers: list[tuple[str, int]]
) -> None:
    (lab, lab_pid), (stranger, stranger_pid) = containers
    nvml.build(tmp_path)
    mine = f"proc|GPU-1|{lab_pid}|900|"
    assert look(tmp_path, lab, f"util|GPU-1|30\n{mine}30\n") == (None, [])
    assert look(tmp_path, lab, f"util|GPU-1|0\n{mine}0\n") == (6_000, [])
    foreign = f"proc|GPU-1|{stranger_pid}|700|55\n"
    quiet, strays = look(tmp_path, lab, f"util|GPU-1|55\n{mine}0\n{foreign}")
    assert quiet == 6_000, "a stranger's work is not the lab's"
    assert strays == [
        {
            "gpu": "GPU-1",
            "device": "GPU-1",
            "pid": stranger_pid,
            "name": "sleep",
            "container": stranger,
            "memory_mb": 700,
            "why": "no_lease",
        }
    ]
    own = f"util|GPU-1|1\nproc|GPU-1|{os.getpid()}|5|1\n"
    assert [one["why"] for one in look(tmp_path, lab, own)[1]] == ["no_container"]
