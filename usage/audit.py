"""The usage service's audit log: who did what to whom or what, and why (see store.audit)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from store import audit
from usage.leases import Clock
from usage.models import Base

PLATFORM = "platform"
"""The actor of what happens by itself."""


class AuditRow(audit.AuditColumns, Base):
    """One act."""


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
