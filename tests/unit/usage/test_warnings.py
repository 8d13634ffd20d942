"""Warnings are written when they are due, not with the next heartbeat, and wake waiting labs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from core.wire import GpuNeed, ReserveRequest
from tests.unit.usage.conftest import HOUR, World, slot
from tests.unit.usage.server import Running, serving
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
    now, cli = datetime.now(UTC), service.client("key-cli")
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


def test_a_waiting_lab_hears_of_a_warning_within_two_seconds(tmp_path: Path) -> None:
    first_s = 4.0
    with serving(tmp_path, warn_minutes=[2 - first_s / 60]) as service:
        lab = _lab(service, 2)
        begun = time.monotonic()
        status = lab.status("en")
        assert status.warnings == []
        headers = {"Authorization": "token any"}
        with ThreadPoolExecutor() as pool, httpx.Client(headers=headers, timeout=30) as client:
            url = f"{service.url}/api/me/status"
            query = {"known": status.mark, "wait": "20", "lang": "ko"}
            answer = pool.submit(client.get, url, params=query)
            heard = answer.result().json()
            if not heard["warnings"]:  # something else had changed, such as the minute left
                query["known"] = heard["mark"]
                heard = client.get(url, params=query).json()
        late = time.monotonic() - begun - first_s
        assert len(heard["warnings"]) == 1
        assert "최대" in heard["warnings"][0]["message"]
        assert -1.5 < late < 2, f"{late:.2f} s after its time"
