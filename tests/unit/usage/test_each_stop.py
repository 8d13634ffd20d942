"""Every stop is warned of 30, 10 and 2 minutes before, with its reason, and what reached somebody
is told apart from what did not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.unit.usage.conftest import MINUTE, START, World, slot
from usage import texts
from usage.api_lab import lab_status
from usage.models import Notice

AFTER_MIN = 45
LIMITS: dict[str, dict[str, object]] = {
    "budget": {"gpu": AFTER_MIN * MINUTE},
    "learner_cap": {"learner_cap": AFTER_MIN * MINUTE},
    "daily_cap": {"daily_cap": AFTER_MIN * MINUTE},
    "lab_max": {"lab_max_minutes": AFTER_MIN},
    "cohort_end": {"ends": (START + timedelta(minutes=AFTER_MIN)).isoformat()},
    "idle": {},
}
"""What makes a lab stop after `AFTER_MIN` minutes, by reason."""


def notices(world: World) -> list[tuple[str, int, bool]]:
    """Reason, minutes before the stop, and whether it was delivered."""
    with world.database.read() as session:
        rows = session.scalars(select(Notice).order_by(Notice.created_at)).all()
        return [(n.reason, n.threshold_ms // 60_000, n.delivered_at is not None) for n in rows]


@pytest.mark.parametrize("reason", LIMITS)
def test_a_stop_is_warned_of_with_its_reason(world: World, reason: str) -> None:
    idle = reason == "idle"
    minutes = 70 if idle else AFTER_MIN  # the first half of an idle time is a pause to think
    world.usage.rules = world.rules = replace(world.rules, idle_ms=minutes * 60_000 * idle)
    world.cohort(**LIMITS[reason])
    world.people("ann")
    world.slots(slot(1, simulated=True))
    lease = world.running("ann")
    told: dict[int, int] = {}
    for minute in range(1, minutes):
        world.time.pass_ms(60_000)
        if idle:
            world.usage.note_activity("ann", busy=False, idle_seconds=minute * 60.0)
        world.beat((lease, minute * 60_000))
        world.usage.warn()
        for _reason, threshold, _seen in notices(world):
            told.setdefault(threshold, minutes - minute)
        if minutes - minute == 9:  # her JupyterLab asks once, and then never again
            with texts.speaking("en", "Asia/Seoul"):
                status = lab_status(world.usage, "ann")
    assert told == {30: 30, 10: 10, 2: 2}, "threshold: minutes left when it was given"
    assert notices(world) == [(reason, 30, True), (reason, 10, True), (reason, 2, False)]
    assert [w.reason for w in status.warnings] == [reason] * 2
    assert all("9 min" in w.message and len(w.message) > 60 for w in status.warnings)
    world.time.pass_ms(60_000)
    assert [due.reason for due in world.usage.tick()] == [reason]
    world.usage.release(lease.id, minutes * 60_000, "stopped", False)
    assert world.state(lease).reason == reason
