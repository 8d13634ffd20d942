"""Warnings are written when they are due, not with the next heartbeat, and wake waiting labs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from core.wire import GpuNeed, ReserveRequest
from tests.unit.usage.conftest import HOUR, FakeTime, World, slot
from tests.unit.usage.server import Running, serving
from usage import pulse
from usage.client import CohortSpec, LabClient
from usage.heartbeat import WARN_LEAD_MS


def test_between_two_heartbeats(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")
    longest, before = world.rules.lab_max_ms, 1_800_000 + WARN_LEAD_MS
    world.time.pass_ms(longest - before - 1)
    world.beat((lease, longest - before - 1))
    assert world.usage.warn() == []
    world.time.pass_ms(1)
    assert world.usage.warn() == ["ann"]
    assert world.usage.warn() == [], "once"
    world.time.pass_ms(10)
    world.beat((lease, longest - before + 10))
    with world.database.read() as session:
        from usage.models import Notice

        assert session.query(Notice).count() == 1, "and the heartbeat does not repeat it"


def _lab(service: Running, minutes: int) -> LabClient:
    now, cli = service.app.state.usage.clock.now(), service.client("key-cli")
    begin, end = ((now + timedelta(days=days)).isoformat() for days in (-1, 9))
    cli.create_cohort(
        CohortSpec("kt", "KT", "KT", begin, end, courses=["intro"], lab_max_minutes=minutes)
    )
    cli.grant("kt", 2 * HOUR, "admin", "contract", "k1")
    cli.enrol("kt", "ann")
    service.client("key-agent").put_inventory("h1", [slot(1)])
    hub = service.client("key-hub")
    hub.activate(
        hub.reserve(ReserveRequest("s", "ann", "kt", "intro", "first", GpuNeed())).id, "box"
    )
    return LabClient(service.url, "any")


def test_a_waiting_lab_hears_of_a_warning_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "LOOK_SECONDS", 1000.0)  # nothing is found by looking again
    time = FakeTime()
    with serving(tmp_path, warn_minutes=[1]) as service:
        service.app.state.usage.clock = time.clock()
        lab = _lab(service, 2)
        status = lab.status("en")
        assert status.warnings == []
        headers = {"Authorization": "token any"}
        with ThreadPoolExecutor() as pool, httpx.Client(headers=headers) as client:
            url = f"{service.url}/api/me/status"
            query = {"known": status.mark, "wait": "30", "lang": "ko"}
            answer = pool.submit(client.get, url, params=query)
            time.pass_ms(60_000)
            heard = answer.result().json()
        assert heard["mark"] != status.mark, "it was woken, not left to wait for its time"
        assert len(heard["warnings"]) == 1
        assert "최대" in heard["warnings"][0]["message"]
