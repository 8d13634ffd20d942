"""What can be asked of prestarts, each act in one transaction. Raises usage.refusals.No."""

from __future__ import annotations

import logging
from datetime import timedelta

from core import log
from store.database import Database
from usage import audit
from usage.leases import Clock, Rules
from usage.prestart import rows
from usage.refusals import No

_log = logging.getLogger("usage")


class Prestarting:
    """The acts. `usage.service.Usage` is one."""

    database: Database
    rules: Rules
    clock: Clock

    def note_opened(self, username: str) -> None:
        """The person has come to their lab: a prestarted one is theirs from now on."""
        with self.database.read() as session:
            if rows.of(session, username) is None:
                return
        with self.database.write() as session:
            if rows.opened(session, username, self.clock):
                log.event(_log, "prestarted lab opened", person=username)

    def prestart(
        self, cohort: str, course: str, lab: str, actor: str, minutes: int | None = None
    ) -> str:
        """Start this lab for every trainee of the cohort who has none; the id of the batch.

        It begins at once, a few at a time (usage.prestart_at_once), as GPUs are free. What nobody
        has opened after `minutes` (None: usage.prestart_grace_minutes) is returned, and free.
        """
        grace = self.rules.prestart_grace_ms if minutes is None else minutes * 60_000
        if not 60_000 <= grace <= rows.MOST_MINUTES * 60_000:
            most = rows.MOST_MINUTES
            raise No("number_out_of_range", field="minutes", value=minutes, least=1, most=most)
        return_at = self.clock.now() + timedelta(milliseconds=grace)
        with self.database.write() as session:
            order = rows.Order(cohort, course, lab, actor, return_at)
            batch = rows.begin(session, order, self.clock)
            audit.note(session, self.clock, actor, "prestart", cohort, lab=f"{course}/{lab}")
        log.event(_log, "prestart ordered", cohort=cohort, lab=lab, actor=actor)
        return batch

    def prestarts(self, cohort: str) -> list[rows.Batch]:
        """The cohort's last batches of prestarted labs, the newest first."""
        with self.database.read() as session:
            return rows.batches(session, cohort)

    def cancel_prestart(self, cohort: str, actor: str) -> int:
        """Start no more, and return what nobody has opened; how many labs that concerns."""
        with self.database.write() as session:
            count = rows.cancel(session, cohort, self.clock)
            audit.note(session, self.clock, actor, "prestart.cancel", cohort, labs=count)
        log.event(_log, "prestart cancelled", cohort=cohort, labs=count, actor=actor)
        return count
