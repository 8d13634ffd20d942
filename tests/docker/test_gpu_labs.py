"""GPU labs on the path that real GPUs take: NVML's slots, leases, device requests, NVIDIA's hook.

The driver's library and the hook are stand-ins (this machine has no GPU); the inventory, the usage
service, the spawner, the container arguments and the Docker engine are the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Hub, Server
from jupyterhub.spawner import SpawnException
from jupyterhub.user import User
from traitlets.config import Config

from core import clock
from core.settings import Settings
from core.units import gpu_hours
from core.wire import Slot
from labs.spawner import LabSpawner
from tests.docker.gpu_engine import IMAGE, GpuEngine, gpu_engine
from tests.fakes import nvml
from tests.unit.usage.server import serving
from usage.client import CohortSpec, UsageClient

pytestmark = pytest.mark.docker

GPUS = """\
gpu|GPU-11111111-aaaa|NVIDIA H100 80GB HBM3|81559|ok
mig|MIG-22222222-bbbb|NVIDIA H100 80GB HBM3 MIG 1g.10gb|9856|1
mig|MIG-33333333-cccc|NVIDIA H100 80GB HBM3 MIG 1g.10gb|9856|1
gpu|GPU-44444444-dddd|NVIDIA L4|23034|ok
gpu|GPU-55555555-eeee|NVIDIA L4|23034|ok
gpu|GPU-66666666-ffff|NVIDIA A100-SXM4-80GB|81920|ok
"""
SLICES = {"MIG-22222222-bbbb", "MIG-33333333-cccc"}
PAIR = ["GPU-44444444-dddd", "GPU-55555555-eeee"]
LOST = "GPU-66666666-ffff"
"""In the inventory, but the hook does not know it: as after a repartition or a driver's fault."""

COURSE = """
id = "{id}"
hours = 1
image = "lab-cpu"
title = {{ en = "{id}", ko = "{id}" }}
summary = {{ en = "For tests", ko = "시험용" }}
[[labs]]
id = "one"
minutes = {{ cpu = 10, gpu = 10 }}
title = {{ en = "One", ko = "하나" }}
gpu = {{ {gpu} }}
"""
COURSES = {
    "slice": "memory_mb = 8000",
    "two": 'isolation = "exclusive", count = 2',
    "large": 'isolation = "exclusive", memory_mb = 80000',
}


class Spawner(LabSpawner):  # type: ignore[misc]
    """The platform's own; the tiny image has no JupyterLab to wait for."""

    async def get_ip_and_port(self) -> tuple[str, int]:
        return "127.0.0.1", 1


@dataclass
class World:
    """The engine with GPUs, a usage service that knows them, and who may start labs."""

    engine: GpuEngine
    usage: UsageClient
    """As the Hub calls it."""
    admin: UsageClient
    settings: Settings

    def spawner(self, name: str, course: str, gpu: str = "yes", language: str = "en") -> Spawner:
        """The Hub's spawner for this person's start."""
        c = Config()
        c.Spawner.settings = self.settings
        c.Spawner.usage = self.usage
        c.Spawner.gateway = "127.0.0.1"
        session = orm.new_session_factory("sqlite:///:memory:")()
        person = orm.User(name=name)
        session.add(person)
        session.commit()
        words = {"spawner_class": Spawner, "config": c, "hub": Hub(ip="127.0.0.1", port=1)}
        spawner: Spawner = User(person, words, session).spawners[""]
        address = orm.Server(proto="http", ip="127.0.0.1", port=1, base_url="/")
        session.add(address)
        session.commit()
        spawner.server = Server(orm_server=address)
        spawner.user_options = {
            "course": course, "lab": "one", "cohort": "autumn", "gpu": gpu, "language": language,
        }  # fmt: skip
        return spawner

    def start(self, name: str, course: str, gpu: str = "yes") -> dict[str, Any]:
        """Start a lab; its container as Docker describes it."""
        spawner = self.spawner(name, course, gpu)
        asyncio.run(spawner.start())
        found: dict[str, Any] = self.engine.client.api.inspect_container(spawner.object_id)
        return found

    def open_leases(self) -> list[str]:
        return [c.username for c in self.admin.charges("autumn") if c.state != "ended"]

    def end_everything(self) -> None:
        """No containers, no open leases."""
        for container in self.engine.client.containers.list(all=True):
            container.remove(force=True, v=True)
        for charge in self.admin.charges("autumn"):
            if charge.state != "ended":
                self.usage.release(charge.lease_id, None, "test")


@pytest.fixture(scope="module")
def engine() -> Iterator[GpuEngine]:
    with gpu_engine([*sorted(SLICES), *PAIR]) as found:
        yield found


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> list[Slot]:
    """What the agent tells the usage service, read through NVML."""
    library = nvml.build(tmp_path_factory.mktemp("nvml"))
    return [Slot(**slot) for slot in nvml.inventory(library, GPUS)]


@pytest.fixture(scope="module")
def service(
    engine: GpuEngine, slots: list[Slot], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("state")
    for name, gpu in COURSES.items():
        (folder / "courses" / name / "labs" / "one").mkdir(parents=True)
        (folder / "courses" / name / "labs" / "one" / "a.ipynb").write_text("{}")
        (folder / "courses" / name / "course.toml").write_text(COURSE.format(id=name, gpu=gpu))
        (folder / "materials" / name / "en").mkdir(parents=True)
        (folder / "materials" / name / "ko").mkdir(parents=True)
    settings = Settings(
        instance="gputest",
        state_dir=folder,
        courses_dir=folder / "courses",
        labs={"images": {"lab-cpu": IMAGE}, "network": "none", "memory_mb": 256},
    )
    with serving(folder) as running:
        usage, hub = running.client("key-cli"), running.client("key-hub")
        agent = running.client("key-agent")
        agent.put_inventory("host-1", slots)
        now = clock.now()
        day = timedelta(days=1)
        usage.create_cohort(
            CohortSpec("autumn", "Autumn", starts=(now - day).isoformat(),
                       ends=(now + day).isoformat(), courses=list(COURSES))
        )  # fmt: skip
        usage.grant("autumn", gpu_hours("10"), "test", "start", "grant-1")
        for name in ("kim", "lee"):
            usage.enrol("autumn", name)
        yield World(engine, hub, usage, settings)
        for client in (usage, hub, agent):
            client.close()


@pytest.fixture
def world(service: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    async def ready(*_: object) -> None:
        return

    monkeypatch.setenv("DOCKER_HOST", service.engine.url)
    monkeypatch.setattr("labs.spawner.readiness.wait", ready)
    yield service
    service.end_everything()
    Spawner._client = Spawner._executor = None


def test_each_lab_gets_the_slice_that_was_leased_for_it_and_no_other(world: World) -> None:
    first, second = world.start("kim", "slice"), world.start("lee", "slice")
    seen = [world.engine.hook_saw(found["Id"]) for found in (first, second)]
    assert set(seen) == SLICES
    for found, device in zip((first, second), seen, strict=True):
        assert found["State"]["Running"]
        (request,) = found["HostConfig"]["DeviceRequests"]
        assert (request["DeviceIDs"], request["Count"]) == ([device], 0)
        assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in found["Config"]["Env"]
        assert "DLI_SIMULATED_GPU=" in found["Config"]["Env"]
    assert sorted(world.open_leases()) == ["kim", "lee"]


def test_a_lab_of_two_gpus_gets_both_by_one_request(world: World) -> None:
    found = world.start("kim", "two")
    assert world.engine.hook_saw(found["Id"]) == ",".join(PAIR)
    assert len(found["HostConfig"]["DeviceRequests"]) == 1


def test_a_lab_without_gpu_gets_no_device(world: World) -> None:
    found = world.start("kim", "slice", gpu="no")
    assert not found["HostConfig"]["DeviceRequests"]
    assert world.engine.hook_saw(found["Id"]) is None, "the hook is not even asked"
    assert "NVIDIA_VISIBLE_DEVICES=void" in found["Config"]["Env"]
    inside = world.engine.client.containers.get(found["Id"]).exec_run(["env"]).output.decode()
    assert "NVIDIA_VISIBLE_DEVICES=void" in inside, "also where the image presets all"
    assert world.open_leases() == []


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("en", "The GPU that was chosen for you could not be used. Nothing was charged."),
     ("ko", "배정된 GPU를")],
)  # fmt: skip
def test_a_gpu_that_the_driver_refuses_is_a_sentence_and_leaves_nothing(
    world: World, language: str, sentence: str
) -> None:
    with pytest.raises(SpawnException) as caught:
        asyncio.run(world.spawner("kim", "large", language=language).start())
    assert sentence in caught.value.jupyterhub_message
    for word in ("nvidia-container", LOST, "OCI", "hook"):
        assert word not in caught.value.jupyterhub_message, "Docker's words are for the log"
    assert list(world.engine.client.containers.list(all=True)) == []
    assert world.open_leases() == []
    newest = world.admin.charges("autumn")[0]
    assert (newest.username, newest.state, newest.charged) == ("kim", "ended", 0)
    assert set(_asked_for(world.engine.hook)) >= {LOST}, "the start did reach the driver"


def _asked_for(hook: Path) -> list[str]:
    from tests.fakes import nvidia_hook

    return list(nvidia_hook.calls(hook).values())
