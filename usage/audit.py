"""The usage service's audit log: who did what to whom or what, and why (see store.audit)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import audit
from usage.leases import Clock
from usage.models import Base

PLATFORM = "platform"
"""The actor of what happens by itself."""


class AuditRow(audit.AuditColumns, Base):
    """One act."""


def noted_since(
    session: Session, since: datetime, actor: str, action: str, scope: str, target: str
) -> bool:
    """Whether this very act was written down at or after `since`."""
    query = select(AuditRow.id).where(
        AuditRow.actor == actor,
        AuditRow.at >= since,
        AuditRow.action == action,
        AuditRow.scope == scope,
        AuditRow.target == target,
    )
    return session.scalar(query.limit(1)) is not None


def note(
    session: Session,
    time: Clock,
    actor: str,
    action: str,
    scope: str = "",
    target: str = "",
    reason: str = "",
    **details: Any,
) -> None:
    """Write an act down, in the transaction of the act. See store.audit.AuditColumns."""
    session.add(audit.entry(AuditRow, time.now(), actor, action, scope, target, reason, **details))
