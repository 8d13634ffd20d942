"""What admins and staff do, without HTTP: each act in one transaction with its line in the audit
log. Raises usage.refusals.No for what cannot be."""

from __future__ import annotations

import logging
from collections.abc import Set
from datetime import datetime, timedelta

from core import log
from core.wire import GpuNeed
from store.database import Database
from usage import audit, cohorts, forms, leases, ledger, views, windows
from usage.client import Budget, CohortSpec
from usage.leases import Clock
from usage.models import Cohort
from usage.refusals import No
from usage.roster import Roster, expected, imports

_log = logging.getLogger("usage")

READ_ONCE = timedelta(minutes=15)
"""For so long the same person reading the same data is one line of the log."""

CLI = "dli"
"""The actor when the command line asks."""


class Office:
    """The acts. `usage.service.Usage` is one."""

    database: Database
    clock: Clock
    known_courses: Set[str]

    # -- cohorts

    def put_cohort(self, spec: CohortSpec, actor: str = CLI) -> None:
        """Create or change a cohort."""
        with self.database.write() as session:
            known = session.get(Cohort, spec.id)
            before = views.spec_of(known) if known else None
            row = cohorts.put(session, spec, self.known_courses, self.clock)
            after = views.spec_of(row)
            if before is None:
                audit.note(session, self.clock, actor, "cohort.create", spec.id)
            elif before != after:
                changed = sorted(k for k, v in vars(after).items() if v != getattr(before, k))
                audit.note(session, self.clock, actor, "cohort.change", spec.id, fields=changed)

    def create_cohort(self, spec: CohortSpec, grant: int | None, staff_of: str, actor: str) -> None:
        """Create a cohort that is not there yet, with `grant` units in its pool and the staff of
        another one (empty: none)."""
        with self.database.write() as session:
            if session.get(Cohort, spec.id) is not None:
                raise No("cohort_exists", cohort=spec.id)
            cohorts.put(session, spec, self.known_courses, self.clock)
            audit.note(session, self.clock, actor, "cohort.create", spec.id, staff_of=staff_of)
            for row in cohorts.staff(session, staff_of):
                cohorts.enrol(session, spec.id, row.username, row.role, "", "", self.clock)
                audit.note(
                    session, self.clock, actor, "member.enrol", spec.id, row.username, role=row.role
                )
            if grant is not None:
                reason, key, now = f"{spec.id}: first grant", f"first:{spec.id}", self.clock.now()
                ledger.book(session, spec.id, "grant", grant, actor, reason, key, now)
                audit.note(
                    session, self.clock, actor, "budget.grant", spec.id, "", reason, units=grant
                )

    def set_allowance(self, cohort: str, units: int, actor: str) -> None:
        """What the cohort's instructors may still grant by themselves."""
        with self.database.write() as session:
            cohorts.set_allowance(session, cohort, units)
            audit.note(session, self.clock, actor, "cohort.allowance", cohort, units=units)

    def put_code(
        self, code: str, cohort: str, seats: int, expires: str, role: str, actor: str = CLI
    ) -> None:
        """Create or change an event code."""
        with self.database.write() as session:
            row = cohorts.put_code(session, code, cohort, seats, expires, role, self.clock)
            audit.note(
                session, self.clock, actor, "code.put", cohort, row.code, role=role, seats=seats
            )

    def enrol(
        self,
        cohort: str,
        username: str,
        role: str,
        email: str = "",
        name: str = "",
        actor: str = CLI,
    ) -> None:
        """Put a person into a cohort or change their role."""
        with self.database.write() as session:
            cohorts.enrol(session, cohort, username, role, email, name, self.clock)
            audit.note(session, self.clock, actor, "member.enrol", cohort, username, role=role)

    def remove_member(self, cohort: str, username: str, actor: str, reason: str) -> None:
        """End a membership. What the person used stays in the books."""
        with self.database.write() as session:
            cohorts.remove(session, cohort, username, self.clock)
            audit.note(session, self.clock, actor, "member.remove", cohort, username, reason)

    # -- GPU time

    def book(
        self, cohort: str, kind: str, amount: int, actor: str, reason: str, key: str
    ) -> Budget:
        """Book into a cohort's pool."""
        with self.database.write() as session:
            views.cohort(session, cohort)
            now = self.clock.now()
            if ledger.book(session, cohort, kind, amount, actor, reason, key, now):
                audit.note(
                    session, self.clock, actor, f"budget.{kind}", cohort, "", reason, units=amount
                )
                log.event(_log, "booked", cohort=cohort, kind=kind, units=amount, actor=actor)
            return views.budget(session, cohort)

    def refund(
        self, cohort: str, lease_id: str, amount: int | None, actor: str, reason: str, key: str
    ) -> None:
        """Give back `amount` units of what an ended lab was charged; None: all that is left."""
        with self.database.write() as session:
            row = leases.get(session, lease_id)
            if row.cohort_id != cohort:
                raise No("lease_unknown", lease=lease_id)
            if row.state != "ended":
                raise No("refund_open")
            if not reason.strip():
                raise No("reason_missing")
            units = ledger.lease_charged(session, row) if amount is None else amount
            now = self.clock.now()
            if ledger.refund(session, row, units, actor, reason.strip(), key, now):
                audit.note(
                    session,
                    self.clock,
                    actor,
                    "budget.refund",
                    cohort,
                    row.username,
                    reason,
                    units=units,
                    lease=lease_id,
                )

    def add_window(
        self,
        cohort: str,
        starts: str,
        ends: str,
        seats: int,
        need: GpuNeed,
        actor: str,
        prestart: str = "",
    ) -> None:
        """Reserve places; times without a zone are the cohort's. `prestart`: "course/lab" to start
        for its learners before it begins."""
        with self.database.write() as session:
            zone = views.cohort(session, cohort).timezone
            begin = cohorts.moment(forms.with_zone(starts, zone), "starts")
            end = cohorts.moment(forms.with_zone(ends, zone), "ends")
            row = windows.add(session, cohort, begin, end, seats, need, actor, self.clock)
            row.course, _, row.lab = prestart.partition("/")
            if row.course and row.course not in views.cohort(session, cohort).courses:
                raise No("course_not_offered", cohort=cohort, course=row.course)
            audit.note(session, self.clock, actor, "window.add", cohort, row.id, seats=seats)
        log.event(_log, "places reserved", cohort=cohort, seats=seats, actor=actor)

    def remove_window(self, cohort: str, window: str, actor: str = CLI) -> None:
        """Give reserved places up."""
        with self.database.write() as session:
            windows.remove(session, window, cohort, self.clock)
            audit.note(session, self.clock, actor, "window.remove", cohort, window)

    # -- rosters

    def preview_roster(
        self, cohort: str, roster: Roster, file_name: str, actor: str
    ) -> imports.Preview:
        """Keep what a roster will do, to be shown and then applied."""
        with self.database.write() as session:
            return imports.preview(session, cohort, roster, file_name, actor, self.clock)

    def roster_preview(self, cohort: str, import_id: str, actor: str) -> imports.Preview:
        """A preview that was kept."""
        with self.database.read() as session:
            return imports.get(session, cohort, import_id, actor)

    def apply_roster(self, cohort: str, import_id: str, actor: str) -> tuple[imports.Preview, bool]:
        """Do what a preview showed; False with a new preview when the world has changed."""
        with self.database.write() as session:
            return imports.apply(session, cohort, import_id, actor, self.clock)

    def confirm_expected(self, cohort: str, place: int, actor: str) -> None:
        """Whoever arrived is the person whom the roster means."""
        with self.database.write() as session:
            expected.confirm(session, cohort, place, actor, self.clock)

    def forget_expected(self, cohort: str, place: int, actor: str) -> None:
        """Expect somebody no more."""
        with self.database.write() as session:
            expected.forget(session, cohort, place, actor, self.clock)

    # -- personal data

    def note(
        self, actor: str, action: str, scope: str = "", target: str = "", reason: str = ""
    ) -> None:
        """Write down an act that is not one of this service's own transactions."""
        with self.database.write() as session:
            audit.note(session, self.clock, actor, action, scope, target, reason)

    def note_read(
        self, actor: str, action: str, scope: str = "", target: str = "", reason: str = ""
    ) -> None:
        """Write down that somebody read or exported personal data: one line for a while, so that
        going through pages does not fill the log."""
        with self.database.read() as session:
            since = self.clock.now() - READ_ONCE
            if audit.noted_since(session, since, actor, action, scope, target):
                return
        with self.database.write() as session:
            audit.note(session, self.clock, actor, action, scope, target, reason)

    def set_keep_until(self, cohort: str, until: datetime | None, actor: str) -> None:
        """When the cohort's data is deleted; None: as the platform's setting says."""
        with self.database.write() as session:
            row = views.cohort(session, cohort)
            row.keep_until, row.deletion_announced_at = until, None
            when = until.isoformat() if until else ""
            audit.note(session, self.clock, actor, "retention.set", cohort, until=when)
