"""Previews of rosters, and doing exactly what one showed.

A preview is kept with its steps. Applying it works the steps out again under the write lock: when
they differ, because somebody was enrolled or signed up meanwhile, nothing is written and a new
preview is made. Applied twice does nothing the second time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.ids import new_id
from usage import audit, cohorts
from usage.leases import Clock
from usage.models import Cohort, Membership, Person
from usage.refusals import No
from usage.roster.models import Expected, RosterImport
from usage.roster.parse import Problem, Roster, Row
from usage.roster.plan import WRITES, Step, World, expected_key, plan

KEPT = timedelta(days=1)
"""A preview nobody applied is deleted after this: it holds names and addresses."""


@dataclass(frozen=True)
class Preview:
    """A kept preview."""

    id: str
    cohort: str
    about: dict[str, Any]
    steps: list[Step]
    applied: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many rows per act."""
        acts = [step.act for step in self.steps]
        return {act: acts.count(act) for act in dict.fromkeys(acts)}

    @property
    def writes(self) -> int:
        """How many rows change something."""
        return sum(step.act in WRITES for step in self.steps)


def preview(
    session: Session, cohort: str, roster: Roster, file_name: str, actor: str, time: Clock
) -> Preview:
    """Work out and keep what the roster will do. Writes nothing else. Raises No."""
    if session.get(Cohort, cohort) is None:
        raise No("cohort_unknown", cohort=cohort)
    session.execute(delete(RosterImport).where(RosterImport.created_at < time.now() - KEPT))
    steps = plan(roster.rows, _world(session, cohort))
    row = RosterImport(
        id=new_id("roster"),
        cohort_id=cohort,
        made_by=actor,
        created_at=time.now(),
        about={
            "file": file_name[:200],
            "source": roster.source,
            "encoding": roster.encoding,
            "delimiter": roster.delimiter,
            "unread": list(roster.unread),
        },
        steps=[asdict(step) for step in steps],
    )
    session.add(row)
    session.flush()
    return _as_preview(row)


def get(session: Session, cohort: str, import_id: str, actor: str) -> Preview:
    """A preview, for whoever made it. Raises No."""
    row = session.get(RosterImport, import_id)
    if row is None or row.cohort_id != cohort or row.made_by != actor:
        raise No("roster_gone")
    return _as_preview(row)


def apply(
    session: Session, cohort: str, import_id: str, actor: str, time: Clock
) -> tuple[Preview, bool]:
    """Do what the preview showed; the preview, and whether it was done (now or before).

    False: the world has changed; the preview returned is a new one and nothing was written.
    """
    shown = get(session, cohort, import_id, actor)
    if shown.applied:
        return shown, True
    world = _world(session, cohort)
    steps = plan([step.row for step in shown.steps], world)
    row = session.get_one(RosterImport, import_id)
    if steps != shown.steps:
        row.steps = [asdict(step) for step in steps]
        return _as_preview(row), False
    for step in steps:
        _do(session, cohort, step, world, actor, time)
    audit.note(session, time, actor, "roster.import", cohort, "", "", **shown.counts)
    row.applied_at, row.steps = time.now(), []
    session.flush()
    return Preview(row.id, cohort, row.about, shown.steps, True), True


def _world(session: Session, cohort: str) -> World:
    people = session.execute(select(Person.username, Person.email)).all()
    members = session.execute(
        select(Membership.username, Membership.role, Membership.removed_at).where(
            Membership.cohort_id == cohort
        )
    ).all()
    known = {username: (email or "").lower() for username, email in people}
    # Enrolled by hand under a user name alone: known, too.
    known = {**dict.fromkeys((m[0] for m in members), ""), **known}
    expected = session.scalars(select(Expected).where(Expected.cohort_id == cohort)).all()
    return World(
        known,
        {username: (role, removed is None) for username, role, removed in members},
        {(e.email, e.username): (e.role, e.name, e.arrived) for e in expected},
    )


def _do(session: Session, cohort: str, step: Step, world: World, actor: str, time: Clock) -> None:
    row = step.row
    if step.act in ("enrol", "return", "change"):
        cohorts.enrol(session, cohort, step.who, step.role, row.email, row.name, time)
        act = {"role": step.role, "before": step.before}
        audit.note(session, time, actor, "member.enrol", cohort, step.who, **act)
    elif step.act in ("expect", "update", "confirm"):
        email, username = expected_key(row, world)
        known = (email, username) in world.expected
        place = _place(session, cohort, email, username) if known else None
        if place is None:
            place = Expected(
                cohort_id=cohort,
                email=email,
                username=username,
                name="",
                arrived="",
                made_by=actor,
                created_at=time.now(),
            )
            session.add(place)
        place.role, place.name = step.role, row.name or place.name
        place.arrived = step.who or place.arrived


def _place(session: Session, cohort: str, email: str, username: str) -> Expected | None:
    return session.scalar(
        select(Expected).where(
            Expected.cohort_id == cohort, Expected.email == email, Expected.username == username
        )
    )


def _as_preview(row: RosterImport) -> Preview:
    steps = [_as_step(step) for step in row.steps]
    return Preview(row.id, row.cohort_id, row.about, steps, row.applied_at is not None)


def _as_step(data: dict[str, Any]) -> Step:
    row = {**data["row"], "problem": _as_problem(data["row"]["problem"])}
    return Step(**{**data, "row": Row(**row), "why": _as_problem(data["why"])})


def _as_problem(data: dict[str, str] | None) -> Problem | None:
    return Problem(**data) if data else None
