"""The usage service without HTTP: every operation in one transaction of its own.

Raises usage.refusals.No for what cannot be; the callers turn it into a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import log
from core.consent import Consent
from core.settings import Settings
from core.wire import (
    Enrolment,
    Lease,
    LeaseOrder,
    Observation,
    ReserveRequest,
    Slot,
    SlotMode,
)
from store.columns import flag
from store.database import Database
from usage import (
    audit,
    claims,
    cohorts,
    consents,
    failures,
    grants,
    heartbeat,
    idle,
    leases,
    machines,
    requests,
    views,
    waiting,
)
from usage.client import Budget, Charge, CohortCourses, CohortMember, ConsentGiven
from usage.hosts import Beats, Strays
from usage.leases import Clock, Rules
from usage.models import Cohort, LeaseRow, Wait
from usage.office import Office
from usage.prestart import rows as early
from usage.prestart.acts import Prestarting
from usage.queueing import Queueing
from usage.refusals import No
from usage.roster import expected
from usage.stops import DueStop

_log = logging.getLogger("usage")

START_MARGIN_SECONDS = 30
"""Beyond labs.start_seconds: the spawner gives up first and says why."""

STOP_LEAD_MS = 1_000
"""The orderly stop is asked for this long before the grant is over, so that it ends in time."""


def rules_of(settings: Settings) -> Rules:
    """The rules in milliseconds.

    At least three heartbeats are granted ahead, so that one lost report stops nobody.
    """
    usage = settings.usage
    return Rules(
        window_ms=1000 * max(usage.grant_seconds, 3 * usage.heartbeat_seconds),
        lab_max_ms=60_000 * usage.lab_max_minutes,
        free_failure_ms=60_000 * usage.free_failure_minutes,
        start_timeout_ms=1000 * (settings.labs.start_seconds + START_MARGIN_SECONDS),
        warn_ms=sorted(int(60_000 * minutes) for minutes in usage.warn_minutes),
        offer_ms=1000 * usage.offer_seconds,
        idle_ms=60_000 * usage.idle_minutes,
        prestart_lead_ms=60_000 * usage.prestart_minutes,
        prestart_grace_ms=60_000 * usage.prestart_grace_minutes,
        prestart_at_once=usage.prestart_at_once,
    )


class Usage(Office, Prestarting, Queueing):
    """Operations on one database under one set of rules."""

    def __init__(
        self, database: Database, rules: Rules, known_courses: Set[str], clock: Clock | None = None
    ) -> None:
        self.database = database
        self.rules = rules
        self.clock = clock or Clock()
        self.known_courses = known_courses
        self._heard: dict[str, int] = {}
        """When (boot clock) each lab last said whether it computes; lost with a restart."""
        self.strays, self.beats = Strays(), Beats()

    # -- GPUs and leases

    def put_inventory(self, host: str, slots: list[Slot]) -> None:
        """Which slots a host has now."""
        with self.database.write() as session:
            machines.put_inventory(session, host, slots)
        log.event(_log, "inventory reported", host=host, slots=len(slots))

    def set_slot_mode(self, device: str, mode: SlotMode, actor: str, reason: str = "") -> list[str]:
        """Open, drain or disable a slot, or every slot of a GPU; the ids of the slots."""
        with self.database.write() as session:
            slots = machines.set_mode(session, device, mode)
            act = f"gpu.{mode}"
            audit.note(session, self.clock, actor, act, "", device, reason, slots=len(slots))
        log.event(_log, "slots set", device=device, mode=mode, slots=len(slots), actor=actor)
        return slots

    def reserve(self, ask: ReserveRequest) -> Lease:
        """A lease for a start."""
        try:
            with self.database.write() as session:
                if ask.holder == "server":
                    failures.check(session, ask.username, self.clock)
                waits, kept = self._others_first(session, ask)
                row = leases.reserve(session, ask, self.rules, self.clock, kept.slots, kept.labs)
                early.leased(session, row, self.clock)
                lease = leases.as_lease(row)
                waiting.leave(waits, ask.username, "started", self.clock)
        except No as no:
            log.event(_log, "start refused", person=ask.username, lab=ask.lab, code=no.code)
            queues = no.code in waiting.QUEUE_CODES
            if ask.holder == "server" and not self._was_prestart(ask, no, queues) and queues:
                raise self._queue(ask, no) from no
            raise
        log.event(_log, "lease reserved", lease=lease.id, person=ask.username, lab=ask.lab)
        return lease

    def _was_prestart(self, ask: ReserveRequest, no: No, waits: bool) -> bool:
        with self.database.write() as session:
            return early.refused(session, ask.username, no.code, waits, self.clock)

    def activate(self, lease_id: str, container_id: str) -> Lease:
        """The lab of a lease runs."""
        with self.database.write() as session:
            row = leases.activate(session, lease_id, container_id, self.clock)
            heartbeat.warn(session, row, self.rules, self.clock)
            lease = leases.as_lease(row)
        log.event(_log, "lease active", lease=lease.id, person=lease.username)
        return lease

    def release(
        self, lease_id: str, held_ms: int | None, reason: str, platform_fault: bool
    ) -> None:
        """End a lease."""
        with self.database.write() as session:
            leases.release(
                session, lease_id, held_ms, reason, platform_fault, self.rules, self.clock
            )
            row = leases.get(session, lease_id)
        log.event(
            _log,
            "lease ended",
            lease=lease_id,
            person=row.username,
            held_ms=row.held_ms,
            charged=row.posted,
            overrun=row.overrun,
            reason=row.end_reason,
        )

    def observe(self, host: str, report: Observation) -> list[LeaseOrder]:
        """A heartbeat. Two machines that call themselves by one name close no lab of each other."""
        same = self.beats.same_boot(host, report.boot_id)
        if not same:
            log.event(_log, "host reports from another boot", host=host, boot=report.boot_id)
        complete = report.looked and same
        with self.database.write() as session:
            self._forget_stale_idleness(session, host)
            orders = heartbeat.observe(session, host, report, self.rules, self.clock, complete)
        self.beats.note(host, len(report.containers), self.clock.boot_ms(), report.boot_id)
        for one in self.strays.note(host, report.strays, self.clock.boot_ms()):
            log.event(_log, "gpu held without a lease", host=host, **asdict(one))
        return orders

    def note_activity(self, username: str, busy: bool, idle_seconds: float) -> None:
        """What a lab says of itself; see `idle.since`."""
        with self.database.write() as session:
            row = views.open_lease(session, username)
            if row is None or row.state != "active":
                return
            if row.prestarted == leases.UNOPENED and not busy:
                return  # nobody has opened it, which has a grace of its own
            held = leases.held_now(row, self.clock)
            row.idle_since_ms = idle.since(held, busy, idle_seconds)
            worked, told = idle.worked(row.told_held_ms, held, busy, idle_seconds)
            row.busy_ms, row.told_ms = row.busy_ms + worked, row.told_ms + told
            row.told_held_ms = held
            self._heard[row.id] = self.clock.boot_ms()

    def _forget_stale_idleness(self, session: Session, host: str) -> None:
        """A lab that has said nothing for a while may be computing: it is not idle any more."""
        now = self.clock.boot_ms()
        query = select(LeaseRow).where(
            LeaseRow.host == host, LeaseRow.state == "active", LeaseRow.idle_since_ms.is_not(None)
        )
        for row in session.scalars(query).all():
            if now - self._heard.get(row.id, now - idle.STALE_MS) >= idle.STALE_MS:
                row.idle_since_ms = None

    def tick(self) -> list[DueStop]:
        """Free starts that failed, and mark the labs whose grant is over; those to stop now."""
        if not self._something_due():
            return []
        with self.database.write() as session:
            waits = waiting.line(session)
            for username in waiting.deal(session, waits, self.rules, self.clock):
                log.event(_log, "place offered", person=username)
            for lease_id in leases.drop_overdue_starts(session, self.rules, self.clock):
                log.event(_log, "start timed out", lease=lease_id)
            due = []
            for row in early.unused(session, self.clock):
                row.stop_reason = row.stop_reason or leases.UNUSED
            for row in session.scalars(select(LeaseRow).where(LeaseRow.state == "active")).all():
                if self._over(row) or row.stop_reason == leases.UNUSED:
                    row.stop_reason = row.stop_reason or self._stop_reason(session, row)
                    due.append(leases.due_stop(session, row))
            return due

    def warn(self) -> list[str]:
        """Write the warnings whose time has come since the last heartbeat; whose labs they are in.

        Heartbeats are seconds apart, and a warning should come when it is due.
        """
        opened = (LeaseRow.state == "active") & (LeaseRow.prestarted != leases.UNOPENED)
        with self.database.read() as session:
            rows = session.scalars(select(LeaseRow).where(opened)).all()
            due = {row.id for row in heartbeat.warn_due(session, rows, self.rules, self.clock)}
        if not due:
            return []
        with self.database.write() as session:
            told = session.scalars(select(LeaseRow).where(opened, LeaseRow.id.in_(due))).all()
            for row in told:
                heartbeat.warn(session, row, self.rules, self.clock, heartbeat.WARN_LEAD_MS)
        return [row.username for row in told]

    def _something_due(self) -> bool:
        with self.database.read() as session:
            if session.scalar(select(Wait.id).where(flag(Wait.open)).limit(1)) is not None:
                return True
            rows = session.scalars(select(LeaseRow).where(LeaseRow.state.in_(leases.OPEN))).all()
            return any(r.state == "reserved" or r.prestarted or self._over(r) for r in rows)

    def _over(self, row: LeaseRow) -> bool:
        held = leases.held_now(row, self.clock)
        left = grants.idle_left(held, idle.of_both(row, held), self.rules.idle_ms)
        over = held >= row.grant_ms - STOP_LEAD_MS or (left is not None and left <= 0)
        return row.state == "active" and over

    def _stop_reason(self, session: Session, row: LeaseRow) -> str:
        """With money and time left a grant ends only because no heartbeat came."""
        stop = heartbeat.forecast(session, row, self.rules, self.clock)
        slack = max(STOP_LEAD_MS, self.rules.window_ms // 10)
        return stop.reason if stop.in_ms <= slack else "lost_host"

    # -- people

    def check_sign_up(self, code: str, username: str, email: str) -> None:
        """Raises No unless somebody without an account may sign up like this."""
        with self.database.read() as session:
            _row, cohort = cohorts.usable_code(session, code, self.clock, username, email)
            claims.check(session, username, email, cohort, cohorts.whom(session, cohort))

    def sign_up(
        self,
        code: str,
        username: str,
        email: str,
        name: str,
        text: Consent,
        given: ConsentGiven,
    ) -> Enrolment:
        """Take a seat of an event code and record the consent: both or neither."""
        with self.database.write() as session:
            _row, cohort = cohorts.usable_code(session, code, self.clock, username, email)
            claims.check(session, username, email, cohort, cohorts.whom(session, cohort))
            consents.record(session, username, text, given, self.clock)
            found = self._join(session, code, username, email, name)
        log.event(_log, "joined", person=username, cohort=found.cohort, consent=given.version)
        return found

    def join(self, code: str, username: str, email: str, name: str) -> Enrolment:
        """Take a seat of an event code, as somebody who has an account."""
        with self.database.write() as session:
            found = self._join(session, code, username, email, name)
        log.event(_log, "joined", person=username, cohort=found.cohort)
        return found

    def _join(self, session: Session, code: str, username: str, email: str, name: str) -> Enrolment:
        row = cohorts.join(session, code, username, email, name, self.clock)
        expected.arrive(session, row, email, self.clock)
        return cohorts.as_enrolment(row, session.get_one(Cohort, row.cohort_id), self.clock)

    def consent_of(self, username: str, text: Consent) -> list[consents.Standing]:
        """A person's last word on each item of the present consent text."""
        with self.database.read() as session:
            return consents.standing(session, username, text)

    def set_consent(self, username: str, text: Consent, accepted: set[str], language: str) -> None:
        """Give or withdraw the optional items."""
        with self.database.write() as session:
            changed = consents.set_optional(session, username, text, accepted, language, self.clock)
        log.event(_log, "consent changed", person=username, items=",".join(changed))

    def all_cohorts(self) -> list[CohortCourses]:
        """Every cohort with its courses."""
        with self.database.read() as session:
            return cohorts.all_of_them(session, self.clock)

    def members(self, cohort: str) -> list[CohortMember]:
        """The people of a cohort, by user name."""
        with self.database.read() as session:
            return cohorts.members(session, cohort)

    def enrolments(self, username: str) -> list[Enrolment]:
        """The cohorts of a person."""
        with self.database.read() as session:
            return cohorts.enrolments(session, username, self.clock)

    def ask_for_more(self, username: str, minutes: int, note: str) -> None:
        """File a request with the cohort of the running lab, else the person's first open one."""
        with self.database.write() as session:
            cohort = views.cohort_in_use(session, username, self.clock)
            if cohort is None:
                raise No("no_cohort")
            requests.ask(session, cohort, username, minutes, note, self.clock)

    def decide(self, request_id: str, cohort: str, grant: bool, actor: str, is_admin: bool) -> None:
        """Answer a request of this cohort."""
        with self.database.write() as session:
            row = requests.decide(session, request_id, cohort, grant, actor, is_admin, self.clock)
            act = "request.grant" if grant else "request.decline"
            audit.note(session, self.clock, actor, act, cohort, row.username, minutes=row.minutes)
        log.event(_log, "request decided", request=request_id, grant=grant, actor=actor)

    # -- reading

    def budget(self, cohort: str) -> Budget:
        """The pooled account."""
        with self.database.read() as session:
            views.cohort(session, cohort)
            return views.budget(session, cohort)

    def charges(self, cohort: str) -> list[Charge]:
        """What each lease cost."""
        with self.database.read() as session:
            views.cohort(session, cohort)
            return views.charges(session, cohort)
