"""Grading on a GPU: the lease on the course's own account is taken, charged and given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import course as courses
from core.course import Assignment
from core.settings import Settings
from core.wire import Lease, ReserveRequest
from grader import jobs
from grader.gpu import GpuGrading, MustWait
from grader.models import Job
from grader.protocol import SandboxError
from grader.zygote import host
from grader.zygote.protocol import Limits
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.unit.grader.test_marking import pages, submit  # noqa: F401 (a fixture)
from tests.unit.usage.conftest import HOUR, World, slot
from usage import texts
from usage.client import Refused, UsageUnavailable
from usage.database import open_database
from usage.leases import Rules
from usage.models import LeaseRow
from usage.refusals import No

ON_GPU = Assignment.model_validate(
    {"id": "sums", "title": {"en": "S", "ko": "S"}, "gpu": {"isolation": "exclusive"}}
)


class InProcess:
    """The usage service's own code, asked as its client asks."""

    def __init__(self, world: World) -> None:
        self.usage = world.usage
        self.down = False

    def reserve(self, request: ReserveRequest) -> Lease:
        if self.down:
            raise UsageUnavailable("connection refused")
        try:
            return self.usage.reserve(request)
        except No as no:
            raise Refused(texts.refusal(no, "UTC")) from None

    def activate(self, lease_id: str, container_id: str) -> Lease:
        return self.usage.activate(lease_id, container_id)

    def release(
        self, lease_id: str, held_ms: int | None, reason: str, platform_fault: bool = False
    ) -> None:
        self.usage.release(lease_id, held_ms, reason, platform_fault)


class OnGpu(Agreeable):
    """A sandbox that needs no Docker."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.closed = False

    def start(self, packages: list[str]) -> str:
        return f"container-of-{self.lease.id}"

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = open_database(f"sqlite:///{tmp_path}/usage.sqlite")
    database.migrate()
    rules = Rules(300_000, 4 * 3_600_000, 0, 60_000, [])
    made = World(database, rules)
    made.usage.known_courses = {"c1"}
    made.usage.put_inventory("h1", [slot(1, simulated=True)])
    yield made
    database.close()


def account(world: World, gpu: int = HOUR) -> None:
    world.cohort("grading-c1", gpu, courses=["c1"])


def grading(world: World) -> GpuGrading:
    return GpuGrading(Settings(), InProcess(world), OnGpu)


def lease(world: World) -> LeaseRow:
    with world.database.read() as session:
        return session.query(LeaseRow).one()


def test_a_lease_is_taken_charged_and_given_back(world: World) -> None:
    account(world)
    with grading(world).leased("c1", ON_GPU, [], "job-1") as sandbox:
        held = lease(world)
        assert (held.state, held.holder, held.username) == ("active", "grading", "grading:c1")
        assert held.container_id == f"container-of-{held.id}"
        with pytest.raises(MustWait, match="GPU"), grading(world).leased("c1", ON_GPU, [], "job-2"):
            pass
        time.sleep(0.05)
    assert isinstance(sandbox, OnGpu)
    assert sandbox.closed
    assert (lease(world).state, lease(world).end_reason) == ("ended", "graded")
    budget = world.usage.budget("grading-c1")
    assert budget.reserved == 0
    assert 0 < budget.settled < HOUR


def test_it_is_given_back_when_grading_fails(world: World) -> None:
    account(world)
    with pytest.raises(SandboxError), grading(world).leased("c1", ON_GPU, [], "job-1"):
        raise SandboxError("broken")
    assert lease(world).state == "ended"


def test_without_account_money_or_service_it_waits(world: World) -> None:
    with pytest.raises(MustWait, match="grading-c1"), grading(world).leased("c1", ON_GPU, [], "j"):
        pass
    account(world, gpu=0)
    with pytest.raises(MustWait) as no, grading(world).leased("c1", ON_GPU, [], "j"):
        pass
    assert str(no.value)
    asked = InProcess(world)
    asked.down = True
    with (
        pytest.raises(MustWait, match="does not answer"),
        GpuGrading(Settings(), asked, OnGpu).leased("c1", ON_GPU, [], "j"),
    ):
        pass


def test_a_job_waits_with_its_reason_and_goes_on(
    world: World,
    pages: Service,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = courses.load

    def on_gpu(folder: Path, images: dict[str, str]) -> courses.Course:
        found = load(folder, images)
        items = [i.model_copy(update={"gpu": ON_GPU.gpu}) for i in found.assignments]
        return found.model_copy(update={"assignments": items})

    monkeypatch.setattr(courses, "load", on_gpu)
    monkeypatch.setattr(jobs, "WAIT_SECONDS", 0)
    mine = submit(pages, "ada")
    worker = pages.worker(Agreeable())
    worker.gpu = grading(world)
    database = pages.app.state.desk.database

    def job() -> Job:
        with database.read() as session:
            return session.query(Job).filter_by(submission_id=mine, kind="grade").one()

    for _ in range(jobs.MOST_TRIES + 1):
        assert worker.step()
        assert (job().state, job().tries) == ("queued", 0)
    assert "grading-c1" in job().reason
    account(world)
    assert worker.step()
    assert (job().state, job().reason) == ("done", "")
    assert lease(world).state == "ended"


def test_the_container_has_the_leased_gpus_in_one_request() -> None:
    held = Lease(
        "lease-1", "grading:c1", "grading-c1", "c1", "sums", "reserved",
        [slot(1), slot(2)], 840, 60_000, 90_000,
    )  # fmt: skip
    made = host.arguments("image", [], Limits(), "dli", 1, 2, held)
    (request,) = made["device_requests"]
    assert request["DeviceIDs"] == ["dev-1", "dev-2"]
    assert made["labels"]["dli.lease"] == "lease-1"
    assert made["labels"]["dli.grant-ms"] == "60000"
    assert made["entrypoint"][:4] == ["timeout", "-k", "5", "90"]
    plain = host.arguments("image", [], Limits(), "dli", 1, 2)
    assert "device_requests" not in plain
    assert plain["environment"] == {"NVIDIA_VISIBLE_DEVICES": "void"}
    assert "dli.lease" not in plain["labels"]
