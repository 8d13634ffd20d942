"""Everything of one class in a fixed number of questions, however many learners there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from usage import grants, idle
from usage.accounts import POOL
from usage.classroom import activity
from usage.classroom.activity import Counters
from usage.classroom.models import LabActivity
from usage.grants import Funds, Running, Stop
from usage.hub import Server
from usage.leases import OPEN, Clock, Rules, held_now, until
from usage.models import Account, Cohort, Entry, LeaseRow, Membership, Person, Request, Wait

OFF, WAITING, OFFERED, STARTING, RUNNING, STOPPING, UNKNOWN = (
    "off", "waiting", "offered", "starting", "running", "stopping", "unknown",
)  # fmt: skip

MORE_HELPS = ("budget", "learner_cap")
"""Reasons for a stop that a grant of GPU time moves away."""


@dataclass(frozen=True)
class Lab:
    """One person's lab."""

    state: str = OFF
    course: str = ""
    lab: str = ""
    gpu: bool = False
    lease: str = ""
    stop: Stop | None = None
    """When and why a GPU lab stops if everything goes on as it is."""
    position: int = 0
    """Place in the cohort's part of the queue, while waiting."""


@dataclass(frozen=True)
class Row:
    """One learner of the class."""

    username: str
    name: str
    lab: Lab
    used: int
    """Units used so far."""
    active: datetime | None
    """Last sign of life of a lab."""
    counted: Counters
    asked: Request | None
    """Asks for more GPU time."""

    @property
    def stuck(self) -> bool:
        """Most of what they ran lately failed."""
        return self.lab.state == RUNNING and activity.stuck(self.counted)

    @property
    def needs_help(self) -> bool:
        """Somebody should look."""
        return self.stuck or self.asked is not None


@dataclass(frozen=True)
class Roll:
    """The class."""

    cohort: Cohort
    rows: list[Row]
    pool_left: int
    hub_known: bool
    counts: dict[str, int] = field(default_factory=dict)
    """Of learners: here (a lab starts or runs), gpu, waiting, help, all."""


def gather(
    session: Session,
    cohort: Cohort,
    servers: dict[str, Server] | None,
    rules: Rules,
    time: Clock,
) -> Roll:
    """The class now. `servers` None: the Hub does not answer."""
    facts = _Facts(session, cohort, time)
    rows = [
        Row(
            username=member.username,
            name=person.name if person else "",
            lab=_lab(facts, member.username, servers, rules, time),
            used=facts.used.get(member.username, 0),
            active=_active(
                servers.get(member.username) if servers else None,
                facts.activities.get(member.username),
            ),
            counted=activity.counters(facts.activities.get(member.username), time),
            asked=facts.requests.get(member.username),
        )
        for member, person in facts.members
    ]
    return Roll(cohort, rows, max(0, facts.pool), servers is not None, _counts(rows))


def _counts(rows: list[Row]) -> dict[str, int]:
    return {
        "all": len(rows),
        "here": sum(r.lab.state in (STARTING, RUNNING, STOPPING) for r in rows),
        "gpu": sum(r.lab.gpu and r.lab.state in (STARTING, RUNNING) for r in rows),
        "waiting": sum(r.lab.state in (WAITING, OFFERED) for r in rows),
        "help": sum(r.needs_help for r in rows),
    }


class _Facts:
    """The rows of every table that matters, one question each."""

    def __init__(self, session: Session, cohort: Cohort, time: Clock) -> None:
        self.cohort = cohort
        self.members = session.execute(
            select(Membership, Person)
            .join(Person, Person.username == Membership.username, isouter=True)
            .where(
                Membership.cohort_id == cohort.id,
                Membership.removed_at.is_(None),
                Membership.role == "trainee",
            )
            .order_by(Person.name, Membership.username)
        ).all()
        in_class = select(Membership.username).where(Membership.cohort_id == cohort.id)
        self.leases = {
            row.username: row
            for row in session.scalars(
                select(LeaseRow)
                .where(LeaseRow.state.in_(OPEN), LeaseRow.username.in_(in_class))
                .order_by(LeaseRow.created_at)
            )
        }
        self.waits = {
            row.username: (place, row)
            for place, row in enumerate(
                session.scalars(
                    select(Wait).where(Wait.open, Wait.cohort_id == cohort.id).order_by(Wait.id)
                ),
                1,
            )
        }
        self._read_accounts(session)
        self.activities = {
            row.username: row
            for row in session.scalars(
                select(LabActivity).where(LabActivity.username.in_(in_class))
            )
        }
        self.requests = {
            row.username: row
            for row in session.scalars(
                select(Request).where(Request.cohort_id == cohort.id, Request.state == "open")
            )
        }
        self.today = _today(session, cohort, time) if cohort.daily_cap is not None else {}
        self.weights = Counter[str]()
        for lease in self.leases.values():
            if lease.cohort_id == cohort.id:
                self.weights[lease.username] += lease.weight

    def _read_accounts(self, session: Session) -> None:
        self.pool = 0
        self.used: dict[str, int] = {}
        self.caps: dict[str, int] = {}
        for row in session.scalars(select(Account).where(Account.cohort_id == self.cohort.id)):
            left = None if row.cap is None else row.cap - row.settled - row.reserved
            if row.username == POOL:
                self.pool = left or 0
            else:
                self.used[row.username] = row.settled
                if left is not None:
                    self.caps[row.username] = left

    def funds(self, username: str) -> Funds:
        """As ledger.funds_today, from what was read already."""
        own = self.caps.get(username, self.cohort.learner_cap)
        if self.cohort.daily_cap is None:
            return Funds(self.pool, own)
        today = self.cohort.daily_cap + self.today.get(username, 0)
        if own is not None and own <= today:
            return Funds(self.pool, own)
        return Funds(self.pool, today, by_day=True)


def _today(session: Session, cohort: Cohort, time: Clock) -> dict[str, int]:
    """What each learner used (below zero) or has set aside today, by the cohort's clock."""
    midnight = (
        time.now()
        .astimezone(ZoneInfo(cohort.timezone))
        .replace(hour=0, minute=0, second=0, microsecond=0)
    )
    found = Counter[str]()
    posted = session.execute(
        select(Entry.username, func.sum(Entry.amount))
        .where(Entry.cohort_id == cohort.id, Entry.at >= midnight)
        .group_by(Entry.username)
    )
    for name, amount in posted:
        found[name] += int(amount)
    held = session.execute(
        select(LeaseRow.username, func.sum(LeaseRow.reserved))
        .where(LeaseRow.cohort_id == cohort.id, LeaseRow.state != "ended")
        .group_by(LeaseRow.username)
    )
    for name, amount in held:
        found[name] -= int(amount)
    return dict(found)


def _lab(
    facts: _Facts, username: str, servers: dict[str, Server] | None, rules: Rules, time: Clock
) -> Lab:
    lease = facts.leases.get(username)
    server = servers.get(username) if servers is not None else None
    if server is not None:
        state = {"ready": RUNNING, "stopping": STOPPING}.get(server.state, STARTING)
        gpu = server.options.get("gpu") == "yes"
        stop = _stop(facts, lease, rules, time) if lease and gpu else None
        course, lab = server.options.get("course", ""), server.options.get("lab", "")
        return Lab(state, course, lab, gpu, lease.id if lease else "", stop)
    if lease is not None:  # the Hub does not answer, or has not noted the start yet
        state = STARTING if lease.state == "reserved" else RUNNING
        return Lab(state, lease.course, lease.lab, True, lease.id, _stop(facts, lease, rules, time))
    if username in facts.waits:
        place, wait = facts.waits[username]
        state = OFFERED if wait.state == "offered" else WAITING
        return Lab(state, wait.course, wait.lab, True, position=place)
    return Lab(OFF if servers is not None else UNKNOWN)


def _stop(facts: _Facts, lease: LeaseRow, rules: Rules, time: Clock) -> Stop | None:
    """As heartbeat.forecast, from what was read already; None for another cohort's lab."""
    if lease.cohort_id != facts.cohort.id:
        return None
    held = held_now(lease, time)
    running = Running(
        held_ms=held,
        grant_ms=lease.grant_ms,
        limit_ms=lease.limit_ms,
        weight=lease.weight,
        to_end_ms=until(facts.cohort.ends_at, time),
        idle_left_ms=grants.idle_left(held, idle.of_both(lease, held), rules.idle_ms),
        closing=lease.closing or None,  # type: ignore[arg-type]
    )
    return grants.forecast(
        running,
        facts.funds(lease.username),
        sum(facts.weights.values()),
        facts.weights[lease.username],
    )


def _active(server: Server | None, row: LabActivity | None) -> datetime | None:
    known = [row.active_at] if row else []
    if server is not None and server.active is not None:
        known.append(server.active)
    return max(known, default=None)
