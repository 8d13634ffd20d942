"""What people who wait for a GPU can ask for, each act in one transaction."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.wire import ReserveRequest
from store.database import Database
from usage import leases, queue, waiting
from usage.leases import Clock, Rules
from usage.models import Wait
from usage.refusals import No

OUTLOOK_MS = 1_000
"""For so long places in the queue are shown without being worked out again."""


class Queueing:
    """The acts. `usage.service.Usage` is one."""

    database: Database
    rules: Rules
    clock: Clock
    _looks: tuple[int, dict[int, queue.Outlook]] = (0, {})

    def _others_first(
        self, session: Session, ask: ReserveRequest
    ) -> tuple[list[Wait], waiting.Kept]:
        """Offer free slots to those who wait; the queue, and what this start may not take."""
        waits = waiting.line(session)
        waiting.deal(session, waits, self.rules, self.clock)
        return waits, waiting.kept_from(session, waits, ask, self.rules, self.clock)

    def _queue(self, ask: ReserveRequest, no: No) -> No:
        """Put a refused person in the queue; the refusal with their place in it."""
        with self.database.write() as session:
            waiting.join(session, ask, self.clock)
        self._looks = (0, {})
        place = self.place_of(ask.username)
        position = place.position if place else 0
        wait = no.details.get("wait_seconds", 0)
        if place is not None and place.wait_ms is not None:
            wait = place.wait_ms // 1000
        return No(no.code, **{**no.details, "position": position, "wait_seconds": wait})

    def wants_place(self, ask: ReserveRequest) -> bool:
        """True when this start has to wait: the person is in the queue now. Raises No for a start
        that waiting cannot help."""
        try:
            with self.database.write() as session:
                _, kept = self._others_first(session, ask)
                leases.check_place(session, ask, self.clock, kept.slots, kept.labs)
        except No as no:
            if no.code not in waiting.QUEUE_CODES:
                raise
            self._queue(ask, no)
            return True
        return False

    def place_of(self, username: str) -> waiting.Place | None:
        """This person's place in the queue."""
        with self.database.read() as session:
            looks = self.outlooks(session)
            return waiting.place_of(session, username, looks, self.rules, self.clock)

    def outlooks(self, session: Session) -> dict[int, queue.Outlook]:
        """Everybody's place, worked out once a second at most: many pages ask."""
        until, looks = self._looks
        now = self.clock.boot_ms()
        if not until - OUTLOOK_MS <= now < until:
            looks = waiting.outlooks(session, self.rules, self.clock)
            self._looks = (now + OUTLOOK_MS, looks)
        return looks

    def leave_queue(self, username: str) -> None:
        """Stop waiting."""
        with self.database.write() as session:
            waiting.leave(waiting.line(session), username, "left", self.clock)
        self._looks = (0, {})
