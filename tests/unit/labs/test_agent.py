"""What the agent tells while Docker or the usage service does not answer, and what it remembers."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from core.clock import boot_id, boot_ms
from core.settings import Settings
from core.wire import LeaseOrder, Observation
from labs.agent import LOOK_OVERDUE_MS, Agent
from labs.held import started_ms
from labs.watch import Memory
from usage.client import UsageUnavailable


class UsageDouble:
    """Notes the reports; answers with a grant of five minutes, when it answers."""

    def __init__(self) -> None:
        self.reports: list[Observation] = []
        self.down = False
        self.hang: threading.Event | None = None

    def observe(self, _host: str, report: Observation) -> list[LeaseOrder]:
        self.reports.append(report)
        if self.hang is not None:
            self.hang.wait(120)
        if self.down:
            raise UsageUnavailable("down")
        return [LeaseOrder(seen.lease_id, 300_000) for seen in report.containers]

    def put_inventory(self, _host: str, _slots: list[Any]) -> None:
        pass


class DockerDouble:
    """One lab, or no answer at all."""

    def __init__(self, pid: int) -> None:
        self.pid, self.down = pid, False

    def containers(self, filters: dict[str, Any]) -> list[dict[str, Any]]:
        if self.down:
            raise requests.ConnectionError("no engine")
        return [{"Id": "c1", "Labels": {"dli.kind": "lab"}}]

    def inspect_container(self, _id: str) -> dict[str, Any]:
        labels = {"dli.lease": "lease-1", "dli.grant-ms": "60000"}
        return {"Config": {"Labels": labels}, "HostConfig": {}, "State": {"Pid": self.pid}}


@pytest.fixture
def lab() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def usage() -> UsageDouble:
    return UsageDouble()


@pytest.fixture
def agent(
    tmp_path: Path,
    lab: subprocess.Popen[bytes],
    usage: UsageDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> Agent:
    settings = Settings(state_dir=tmp_path, gpus={"simulated": "1 x H100"})
    made = Agent(settings, usage, "h1")  # type: ignore[arg-type]
    docker = DockerDouble(lab.pid)
    monkeypatch.setattr(made, "_api", lambda: docker)
    monkeypatch.setattr(made, "guard", lambda: None)
    made.docker = docker  # type: ignore[attr-defined]
    return made


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_report_without_a_look_says_so(agent: Agent, usage: UsageDouble) -> None:
    agent.docker.down = True  # type: ignore[attr-defined]
    agent.look()
    agent.beat()  # the first does not wait
    agent.beat()
    assert [report.looked for report in usage.reports] == [False]
    agent._beat_ms -= LOOK_OVERDUE_MS  # Docker has not answered for long: go on without it
    agent.beat()
    assert [report.looked for report in usage.reports] == [False, False]
    agent.docker.down = False  # type: ignore[attr-defined]
    until(lambda: boot_ms() > agent._beat_ms)
    agent.look()
    agent.beat()
    assert usage.reports[-1].looked
    assert [seen.lease_id for seen in usage.reports[-1].containers] == ["lease-1"]


def test_held_times_are_kept_while_a_report_waits_for_its_answer(
    agent: Agent, usage: UsageDouble, lab: subprocess.Popen[bytes]
) -> None:
    usage.hang = threading.Event()
    running = threading.Thread(target=agent.run)
    running.start()
    file = agent.settings.state_dir / "run" / "agent.json"

    def kept() -> int:
        labs = Memory.load(file, boot_id(), boot_ms()).labs
        return labs["c1"].held_ms if labs else -1

    try:
        until(lambda: bool(usage.reports))  # and no answer comes
        until(lambda: kept() >= 0)
        first = kept()
        until(lambda: kept() > first + 500)
        assert usage.hang is not None
        assert not usage.hang.is_set()
        started = started_ms(lab.pid)
        assert started is not None
        assert kept() <= boot_ms() - started
    finally:
        usage.hang.set()
        agent.stop()
        running.join(60)


def test_a_report_that_failed_is_tried_again_before_the_next_heartbeat(
    agent: Agent, usage: UsageDouble
) -> None:
    """So that a service that comes back renews the grants at once."""
    agent.settings = agent.settings.model_copy(
        update={"usage": agent.settings.usage.model_copy(update={"heartbeat_seconds": 60})}
    )
    usage.down = True
    running = threading.Thread(target=agent.run)
    running.start()
    try:
        until(lambda: len(usage.reports) >= 2)
        usage.down = False
        until(lambda: agent._orders.get("lease-1") == LeaseOrder("lease-1", 300_000))
        assert agent._labs["c1"].running
    finally:
        agent.stop()
        running.join(60)
