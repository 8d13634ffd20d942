"""What may change on people's homes, looked up for all open homes together.

Three hundred homes that each asked the database and the Hub every two seconds would be the largest
load of the platform. Instead one look serves them all, and a home is drawn again only when its mark
is another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from zlib import crc32

from sqlalchemy import select

from core.units import UNITS_PER_GPU_HOUR
from usage.accounts import POOL
from usage.classroom import announcements
from usage.hub import Hub, HubDown, Server
from usage.leases import OPEN, held_now
from usage.models import Account, LeaseRow, Membership, Notice, Request, Wait
from usage.service import Usage

LOOK_SECONDS = 2.0
HUB_SECONDS = 3.0
_HUB_WAIT = 0.3

_MINUTE = UNITS_PER_GPU_HOUR // 60
_STEPS = 100
"""A pool's level counts as another one after a hundredth of its cap, at least a minute."""

_EXPIRES_MS = 60_000
"""Nobody sees figures older than this, though nothing of note has happened."""


@dataclass(frozen=True)
class Look:
    """One look at everything. A person's mark holds all that their home depends on."""

    servers: dict[str, Server] | None = None
    """None: the Hub did not answer."""
    people: dict[str, list[Hashable]] = field(default_factory=dict)
    pools: dict[str, Hashable] = field(default_factory=dict)
    cohorts: dict[str, list[str]] = field(default_factory=dict)
    at_ms: int = 0

    def mark(self, username: str) -> Hashable:
        """Equal marks: the same home."""
        server = self.servers.get(username) if self.servers is not None else None
        shown: Hashable = self.servers is None
        if server is not None:
            shown = (server.state, *sorted(server.options.items()))
        pools = tuple(self.pools.get(cohort) for cohort in self.cohorts.get(username, ()))
        # Each home at a moment of its own, or all would be drawn at once.
        age = (self.at_ms + crc32(username.encode()) % _EXPIRES_MS) // _EXPIRES_MS
        return (shown, tuple(self.people.get(username, ())), pools, age)

    def short_mark(self, username: str) -> str:
        """The mark as a text to send away and get back."""
        return hashlib.sha256(repr(self.mark(username)).encode()).hexdigest()[:16]


class Pulse:
    """The look that all live homes share."""

    def __init__(self, usage: Usage, hub: Hub) -> None:
        self._usage = usage
        self._hub = hub
        self._look = Look()
        self._until = 0.0
        self._servers: dict[str, Server] | None = None
        self._servers_until = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()
        self._woken = asyncio.Event()

    async def look(self) -> Look:
        """The present look, at most `LOOK_SECONDS` old; one is made for all who ask."""
        if time.monotonic() >= self._until:
            async with self._one:
                if time.monotonic() >= self._until:
                    servers = await self._all_servers()
                    self._look = await asyncio.to_thread(self._read, servers)
                    self._until = time.monotonic() + LOOK_SECONDS
        return self._look

    def forget(self) -> None:
        """Something was just changed: the next look is a fresh one."""
        self._until = self._servers_until = 0.0

    def wake(self) -> None:
        """Who waits for a change looks at once."""
        self._until = 0.0
        self._woken.set()
        self._woken = asyncio.Event()

    async def mark_after(self, username: str, known: str, seconds: float) -> str:
        """The person's mark in short, once it is not `known`, or after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            woken = self._woken
            mark = (await self.look()).short_mark(username)
            left = until - time.monotonic()
            if mark != known or left <= 0:
                return mark
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), min(left, LOOK_SECONDS))

    async def _all_servers(self) -> dict[str, Server] | None:
        """What the Hub last said. Only the first look waits for it: a warning must not."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_hub())
            await self._asking
        elif self._asking.done() and time.monotonic() >= self._servers_until:
            self._asking = asyncio.create_task(self._ask_hub())
            await asyncio.wait({self._asking}, timeout=_HUB_WAIT)
        return self._servers

    async def _ask_hub(self) -> None:
        try:
            self._servers = await self._hub.all_servers()
        except HubDown:
            self._servers = None
        self._servers_until = time.monotonic() + HUB_SECONDS

    def _read(self, servers: dict[str, Server] | None) -> Look:
        usage, people, pools = self._usage, _Marks(), {}
        cohorts: dict[str, list[str]] = {}
        with usage.database.read() as session:
            looks = usage.outlooks(session)
            for wait in session.scalars(select(Wait).where(Wait.open)).all():
                look = looks.get(wait.id)
                place = (look.position, _minutes(look.wait_ms)) if look else None
                people.add(wait.username, wait.id, wait.state, place)
            open_leases = select(LeaseRow).where(LeaseRow.state.in_(OPEN))
            for lease in session.scalars(open_leases).all():
                left = lease.grant_ms - held_now(lease, usage.clock)
                people.add(
                    lease.username, lease.id, lease.state, lease.stop_reason, _time_left(left)
                )
            for row in session.execute(
                select(LeaseRow.username, Notice.id)
                .join(LeaseRow, LeaseRow.id == Notice.lease_id)
                .where(Notice.live, Notice.seen_at.is_(None), LeaseRow.state.in_(OPEN))
                .order_by(Notice.id)
            ):
                people.add(*row)
            for row in session.execute(
                select(Request.username, Request.id).where(Request.state == "open")
            ):
                people.add(*row)
            for account in session.scalars(select(Account).where(Account.username == POOL)).all():
                pools[account.cohort_id] = _level(account)
            for cohort, told in announcements.live_ids(session, usage.clock).items():
                pools[cohort] = (pools.get(cohort), told)
            for cohort, username in session.execute(
                select(Membership.cohort_id, Membership.username)
                .where(Membership.removed_at.is_(None))
                .order_by(Membership.cohort_id)
            ):
                cohorts.setdefault(username, []).append(cohort)
        return Look(servers, people.of, pools, cohorts, usage.clock.boot_ms())


class _Marks:
    def __init__(self) -> None:
        self.of: dict[str, list[Hashable]] = {}

    def add(self, username: str, *what: Hashable) -> None:
        self.of.setdefault(username, []).append(what)


def _time_left(ms: int) -> int:
    """A countdown counts as another one each minute, near its end each ten seconds."""
    return ms // 60_000 if ms >= 120_000 else ms // 10_000 - 100


def _minutes(ms: int | None) -> int | None:
    return None if ms is None else ms // 60_000


def _level(account: Account) -> Hashable:
    cap = account.cap or 0
    left = cap - account.settled - account.reserved
    return cap, left // max(_MINUTE, cap // _STEPS)
