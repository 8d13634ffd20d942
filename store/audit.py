"""The audit log that each service keeps: who did what to whom or what, and why. Append-only.

A row is written in the transaction of the act itself, so there is no act without its row. The
database refuses changes and deletions, but for one: the name of an erased person may give way to
a pseudonym (`PSEUDONYM` begins it).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from sqlalchemy import Select, String, Text, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from store.columns import Big, Name, UtcTime

PSEUDONYM = "erased:"
"""Begins the name that stands for an erased person. No account can have such a name."""

PAGE = 50
"""Rows on one page of the log."""


class AuditColumns:
    """The columns of a service's table ``audit``."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(Big, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    actor: Mapped[str] = mapped_column(Name, index=True)
    """User name; "dli" for the command line, "platform" for what happens by itself."""
    action: Mapped[str] = mapped_column(Name)
    """A code such as cohort.create."""
    scope: Mapped[str] = mapped_column(Name, index=True)
    """Cohort or course; empty: the platform."""
    target: Mapped[str] = mapped_column(Name)
    """User name, GPU, event code…; empty: the scope itself."""
    reason: Mapped[str] = mapped_column(String(1000))
    details: Mapped[str] = mapped_column(Text)
    """JSON object of codes and numbers; no names and no e-mail addresses."""

    def facts(self) -> dict[str, Any]:
        """`details` as it was given."""
        found: dict[str, Any] = json.loads(self.details)
        return found


Row = TypeVar("Row", bound=AuditColumns)


@dataclass(frozen=True)
class Filter:
    """Which rows to show; empty: all. `since` and `until` are moments, the latter not included."""

    actor: str = ""
    action: str = ""
    """An action, or its first part ("roster")."""
    scope: str = ""
    target: str = ""
    since: datetime | None = None
    until: datetime | None = None


def entry(
    table: Callable[..., Row],
    at: datetime,
    actor: str,
    action: str,
    scope: str = "",
    target: str = "",
    reason: str = "",
    **details: Any,
) -> Row:
    """A row of `table`, to be added to the session of the act."""
    return table(
        at=at,
        actor=actor[:255],
        action=action,
        scope=scope[:255],
        target=target[:255],
        reason=reason.strip()[:1000],
        details=json.dumps(details, ensure_ascii=False, sort_keys=True),
    )


def rows(
    session: Session, table: type[Row], wanted: Filter, page: int = 1, size: int = PAGE
) -> tuple[Sequence[Row], int]:
    """One page of the log, newest first, and how many rows there are in all."""
    query = _matching(select(table), table, wanted)
    total = session.scalar(_matching(select(func.count()).select_from(table), table, wanted))
    found = session.scalars(query.order_by(table.id.desc()).offset((page - 1) * size).limit(size))
    return found.all(), int(total or 0)


def _matching(query: Select[Any], table: type[AuditColumns], wanted: Filter) -> Select[Any]:
    for column, value in (
        (table.actor, wanted.actor),
        (table.scope, wanted.scope),
        (table.target, wanted.target),
    ):
        if value:
            query = query.where(column == value)
    if wanted.action:
        first = wanted.action + "."  # not LIKE: a reader could type its wildcards
        within = func.substr(table.action, 1, len(first)) == first
        query = query.where(or_(table.action == wanted.action, within))
    if wanted.since:
        query = query.where(table.at >= wanted.since)
    if wanted.until:
        query = query.where(table.at < wanted.until)
    return query


def actions(session: Session, table: type[AuditColumns]) -> list[str]:
    """The actions that occur, for the filter."""
    return list(session.scalars(select(table.action).distinct().order_by(table.action)))


def append_only(dialect: str, table: str, kept: Sequence[str], names: Sequence[str]) -> list[str]:
    """SQL that makes `table` append-only; run by a migration.

    `kept` columns never change. `names` may change to text that has a pseudonym in it, nothing
    else; rows are never deleted.
    """
    same = "IS" if dialect == "sqlite" else "IS NOT DISTINCT FROM"
    conditions = [f"NEW.{column} {same} OLD.{column}" for column in kept]
    conditions += [
        f"(NEW.{column} {same} OLD.{column} OR NEW.{column} LIKE '%{PSEUDONYM}%')"
        for column in names
    ]
    forbidden = f"NOT ({' AND '.join(conditions)})"
    if dialect == "sqlite":
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        return [
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} WHEN {forbidden} {refuse}",
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        ]
    return [
        f"CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$",
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW "
        f"WHEN ({forbidden}) EXECUTE FUNCTION {table}_append_only()",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW "
        f"EXECUTE FUNCTION {table}_append_only()",
    ]


class Query(BaseModel):
    """What a reader typed into the log's filter. Days such as 2026-12-01, `until` included; a day
    that cannot be read is no limit."""

    actor: str = ""
    action: str = ""
    scope: str = ""
    target: str = ""
    since: str = ""
    until: str = ""
    page: int = Field(1, ge=1, le=1_000_000)

    def filter(self, zone: str) -> Filter:
        """The filter that was meant; days are days of `zone`."""
        last = _day(self.until, zone)
        return Filter(
            self.actor.strip(),
            self.action,
            self.scope.strip(),
            self.target.strip(),
            _day(self.since, zone),
            last + timedelta(days=1) if last else None,
        )


def shown(session: Session, table: type[Row], asked: Query, zone: str) -> dict[str, Any]:
    """What web/audit.html needs of one page of the log."""
    found, total = rows(session, table, asked.filter(zone), asked.page)
    typed = asked.model_dump(exclude={"page"})
    return {
        "rows": found,
        "total": total,
        "page": asked.page,
        "pages": max(1, -(-total // PAGE)),
        "filter": typed,
        "known": actions(session, table),
        "query": urlencode({key: value for key, value in typed.items() if value}),
    }


def _day(text: str, zone: str) -> datetime | None:
    try:
        day = date.fromisoformat(text.strip())
        return datetime.combine(day, time(), ZoneInfo(zone)) if 1 < day.year < 9999 else None
    except ValueError:
        return None
