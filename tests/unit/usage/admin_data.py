"""A week of a cohort for the pages of administration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from core.wire import GpuNeed, Observation, ReserveRequest, SeenContainer
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running
from usage.client import CohortSpec
from usage.hub import Server
from usage.leases import Clock
from usage.models import LeaseRow
from usage.roster import parse_roster

ROSTER = (
    "email,name,role\nann@kt.com,김안나,\nnew@kt.com,새봄,\nina@kt.com,이강사,강사\nbad,홍길동,\n"
)


def fill(service: Running) -> dict[str, str]:
    """Fill the service as its admin; each page of administration by a short name."""
    service.sign_in("root", admin=True)
    now = datetime.now(UTC)
    begin, end = ((now + timedelta(days=days)).isoformat() for days in (-8, 30))
    cli, hub = service.client("key-cli"), service.client("key-hub")
    cli.create_cohort(CohortSpec("kt", "KT AI 2기", "KT", begin, end, courses=["intro"]))
    cli.create_cohort(CohortSpec("posco", "POSCO 1기", "POSCO", begin, end, courses=["intro"]))
    cli.grant("kt", 20 * HOUR, "root", "contract 2026-11", "k1")
    cli.create_code("kt", "KT-2026-NOV", 30)
    cli.enrol("posco", "ina", "trainee", "ina@kt.com", "이강사")
    for name in ("ann", "bea", "cal"):
        cli.enrol("kt", name, "trainee", f"{name}@kt.com", name.title())
    service.client("key-agent").put_inventory(
        "h1", [slot(1), *(slot(n, 120, "mig", gpu="GPU-9", profile="1g.10gb") for n in (2, 3))]
    )
    usage = service.app.state.usage
    present = usage.clock
    usage.clock = Clock(lambda: now - timedelta(days=3), present.boot_ms, present.boot_id)
    ended = _lab(service, "bea", 90 * 60_000)
    hub.release(ended, 90 * 60_000, "stopped")
    usage.clock = present
    _lab(service, "ann", 20 * 60_000)
    with usage.database.write() as session:
        row = session.get_one(LeaseRow, ended)
        row.busy_ms, row.told_ms = 60 * 60_000, 80 * 60_000
        session.execute(
            update(LeaseRow).where(LeaseRow.id == ended).values(created_at=now - timedelta(days=2))
        )
    service.hub.servers["ann"] = Server("ready", {"course": "intro", "lab": "first"}, "/user/ann/")
    made = usage.preview_roster("kt", parse_roster(ROSTER.encode()), "roster.csv", "root")
    usage.apply_roster("kt", made.id, "root")
    shown = usage.preview_roster("kt", parse_roster(ROSTER.encode()), "명단.csv", "root")
    return {
        "cohorts": "/admin",
        "new": "/admin/new-cohort?copy=kt",
        "machines": "/admin/machines",
        "reports": "/admin/reports",
        "audit": "/admin/audit",
        "budget": "/admin/cohorts/kt",
        "people": "/admin/cohorts/kt/people",
        "settings": "/admin/cohorts/kt/settings",
        "report": "/admin/cohorts/kt/report",
        "sheet": "/admin/cohorts/kt/codes/KT-2026-NOV/sheet",
        "roster": "/admin/cohorts/kt/roster",
        "personal": "/admin/people?username=bea",
        "preview": f"/admin/cohorts/kt/roster/{shown.id}",
    }


def _lab(service: Running, who: str, held_ms: int) -> str:
    ask = ReserveRequest(f"spawn-{who}", who, "kt", "intro", "first", GpuNeed())
    lease = service.client("key-hub").reserve(ask)
    service.client("key-hub").activate(lease.id, f"c-{who}")
    report = Observation("b", [SeenContainer(f"c-{who}", lease.id, held_ms, True)])
    service.client("key-agent").observe("h1", report)
    return lease.id
