"""Grading on a GPU, the whole path: lease, container with the leased device, score, charge, return.

The driver's library and NVIDIA's hook are stand-ins (this machine has no GPU); the usage service,
the agent, the Docker engine and the grading container with its zygote are the real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from core import clock
from core.course import Assignment
from core.settings import Settings
from core.units import gpu_hours
from grader.gpu import ACCOUNT, GpuGrading
from grader.protocol import Cell
from grader.runner import Task
from tests.docker.gpu_engine import GpuEngine, gpu_engine
from tests.fakes import nvml
from tests.platform import wait_for
from tests.unit.usage.server import Running, serving
from usage.client import Charge, CohortSpec, UsageClient
from usage.machines import inventory

pytestmark = pytest.mark.docker

GPU = "GPU-77777777-abcd"
HOST = "host-1"
IMAGE = "grading-small:1"
COURSE = "intro"
COHORT = ACCOUNT.format(course=COURSE)
ON_GPU = Assignment.model_validate(
    {"id": "work", "title": {"en": "W", "ko": "W"}, "gpu": {"isolation": "exclusive"}}
)
SMALL = """
cd / && S=opt/lab/lib/python3.11/site-packages && set -f && tar -c --exclude=*/perl* \
  --exclude=*/gconv --exclude=*/__phello__ bin lib lib64 etc usr/bin usr/lib/python3.11 \
  usr/lib/x86_64-linux-gnu usr/lib64 opt/lab/bin opt/lab/pyvenv.cfg work tmp run \
  $(cd $S; for p in IPython traitlets jedi parso prompt_toolkit pygments decorator.py \
    matplotlib_inline stack_data executing asttokens pure_eval wcwidth pexpect ptyprocess \
    typing_extensions.py ipython_pygments_lexers.py; do test -e $p && echo $S/$p; done)
"""
"""Python and IPython of the real sandbox's image: the whole of it would take a minute to copy."""

AGENT = """
import sys
from core.settings import Settings
from labs.agent import Agent
from usage.client import UsageClient
_, instance, folder, url, key, host = sys.argv
settings = Settings(instance=instance, state_dir=folder, usage={"heartbeat_seconds": 1})
Agent(settings, UsageClient(url, key), host).run()
"""
DYING = """
import os, signal, sys
from core.settings import Settings
from grader.gpu import GpuGrading
from tests.docker.grader.test_gpu_grading import COURSE, IMAGE, ON_GPU
from usage.client import UsageClient
_, instance, folder, url, key = sys.argv
settings = Settings(instance=instance, state_dir=folder, labs={"sandbox_image": IMAGE})
with GpuGrading(settings, UsageClient(url, key)).leased(COURSE, ON_GPU, [], "job-2"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass
class World:
    """The engine with one GPU, the agent in front of it, and a course that may grade on it."""

    engine: GpuEngine
    running: Running
    settings: Settings
    admin: UsageClient

    def charge(self) -> Charge:
        """What the newest lease cost so far."""
        return self.admin.charges(COHORT)[0]

    def containers(self) -> list[str]:
        found = self.engine.client.containers.list(
            all=True, filters={"label": "dli.kind=grading"}, ignore_removed=True
        )
        return [str(one.id) for one in found]


@pytest.fixture(scope="module")
def engine() -> Iterator[GpuEngine]:
    with gpu_engine([GPU]) as found:
        image = Settings().labs.sandbox_image
        words = ["docker", "run", "--rm", "--network=none", "--user=0", "--entrypoint=sh", image]
        with subprocess.Popen([*words, "-c", SMALL], stdout=subprocess.PIPE) as made:
            assert made.stdout is not None
            words = ["docker", "--host", found.url, "import"]
            changes = ["--change", "ENV PATH=/opt/lab/bin:/usr/bin:/bin"]
            loaded = subprocess.run([*words, *changes, "-", IMAGE], stdin=made.stdout, check=False)
        assert (made.returncode, loaded.returncode) == (0, 0)
        yield found


@pytest.fixture(scope="module", name="world")
def _world(engine: GpuEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("state")
    settings = Settings(
        instance="gpugrade", state_dir=folder, labs={"sandbox_image": IMAGE}
    )  # fmt: skip
    patch = pytest.MonkeyPatch()
    patch.setenv("DOCKER_HOST", engine.url)
    with serving(folder) as running, _agent(engine, running, settings):
        admin = running.client("key-cli")
        now, day = clock.now(), timedelta(days=1)
        begins, ends = (now - day).isoformat(), (now + day).isoformat()
        admin.create_cohort(
            CohortSpec(COHORT, "Grading", starts=begins, ends=ends, courses=[COURSE])
        )
        admin.grant(COHORT, gpu_hours("1"), "test", "start", "grant-1")
        try:
            yield World(engine, running, settings, admin)
        finally:
            patch.undo()
            admin.close()


class _agent:
    """The agent, in the engine's own pid namespace: there its containers' pids are what they are
    to Docker. It reads its one GPU through the stand-in for NVML."""

    def __init__(self, engine: GpuEngine, running: Running, settings: Settings) -> None:
        folder = running.folder
        state = folder / "gpus.txt"
        state.write_text(f"gpu|{GPU}|NVIDIA L4|23034|ok\n")
        key = (folder / "secrets" / "key-agent").read_text().strip()
        words = [settings.instance, str(folder), running.url, key, HOST]
        enter = ["nsenter", "--target", str(engine.pid), "--pid", "--mount", f"--wd={Path.cwd()}"]
        self._words = [*enter, sys.executable, "-c", AGENT, *words]
        self._env = nvml.environment(nvml.build(folder), state) | {"DOCKER_HOST": engine.url}

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._words, env=self._env)

    def __exit__(self, *_: object) -> None:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in children.read_text().split():  # nsenter forks into the namespace
            os.kill(int(pid), 15)
        self._process.wait(60)


def test_a_gpu_is_leased_graded_on_charged_and_given_back(world: World) -> None:
    worker = world.running.client("key-worker")
    wait_for("the agent's inventory", lambda: _slots(world))
    cells = [
        Cell(index=0, source="def f(x):\n    return 2 * x"),
        Cell(index=1, source="assert f(1) == 2", test="assert f(1) == 2\nassert f(21) == 42"),
    ]
    with GpuGrading(world.settings, worker).leased(COURSE, ON_GPU, [], "job-1") as sandbox:
        (container,) = world.containers()
        found = world.engine.client.api.inspect_container(container)
        assert world.engine.hook_saw(container) == GPU, "the device of the lease, and no other"
        assert found["Config"]["Labels"]["dli.lease"] == world.charge().lease_id
        assert (world.charge().state, world.charge().username) == ("active", f"grading:{COURSE}")
        seen = sandbox.run(Task(cells, {}, []))
        assert seen.tests[1].outcome == "pass", seen
        wait_for("the agent's report", lambda: world.charge().held_ms > 0)
    ended = world.charge()
    assert (ended.state, ended.reason) == ("ended", "graded")
    assert ended.charged > 0
    budget = world.admin.budget(COHORT)
    assert (budget.settled, budget.reserved) == (ended.charged, 0)
    wait_for("the container's end", lambda: not world.containers())
    worker.close()


def test_the_lease_of_a_worker_that_dies_ends(world: World) -> None:
    wait_for("the agent's inventory", lambda: _slots(world))
    key = (world.running.folder / "secrets" / "key-worker").read_text().strip()
    words = [world.settings.instance, str(world.running.folder), world.running.url, key]
    before = len(world.admin.charges(COHORT))
    dead = subprocess.run(
        [sys.executable, "-c", DYING, *words], capture_output=True, text=True, check=False
    )
    assert dead.returncode == -9, dead.stderr
    assert len(world.admin.charges(COHORT)) == before + 1
    wait_for("the lease's end", lambda: world.charge().state == "ended")
    wait_for("the container's end", lambda: not world.containers())
    assert world.charge().reason != "graded"
    assert world.admin.budget(COHORT).reserved == 0


def _slots(world: World) -> bool:
    """Does the usage service know the GPU yet?"""
    with world.running.app.state.usage.database.read() as session:
        return bool(inventory(session)[0])
