"""Failed starts are free, and a learner can make one fail: files of their own that keep the lab's
server from answering hold a GPU for labs.start_seconds. So only some long ones are had in a row.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from usage.leases import Clock
from usage.models import LeaseRow
from usage.refusals import No

MOST = 5
"""Long failed starts of one person in `WITHIN`; then none until the first of them is so old."""
WITHIN = timedelta(minutes=30)
LONG_MS = 20_000
"""A start that fails sooner has used no GPU to speak of, and its fault is seldom the learner's."""

_REASONS = ("start_abandoned", "start_timeout")


def check(session: Session, username: str, time: Clock) -> None:
    """Raises No when too many of this person's starts held a GPU lately and did not come up."""
    now = time.now()
    ends = session.scalars(
        select(LeaseRow.ended_at)
        .where(
            LeaseRow.username == username,
            LeaseRow.state == "ended",
            LeaseRow.end_reason.in_(_REASONS),
            LeaseRow.held_ms >= LONG_MS,
            LeaseRow.ended_at > now - WITHIN,
            LeaseRow.ended_at <= now,
        )
        .order_by(LeaseRow.ended_at)
    ).all()
    if len(ends) >= MOST:
        oldest = ends[-MOST]
        assert oldest is not None
        raise No("starts_fail", count=len(ends), at=oldest + WITHIN)
