"""May the Hub be asked to stop a person's server for this lease? Pure.

The Hub stops servers by the person's name, a lease is about one container. Between the moment a
lease is found to be over and the Hub's answer the person may have stopped that lab and started
another one. So the Hub is asked only when everything says that the server still is this lease's
lab; whenever one thing does not fit, the lab is left to the agent on its host, which knows
containers by lease and ends this one at its grant in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from usage.hub import Server

_SLACK = timedelta(seconds=2)
"""The Hub notes a start before the lease is written. A later server of the same person starts more
than this after it: no lease is shorter than grants.MIN_START_MS."""


@dataclass(frozen=True)
class DueStop:
    """A lab that the meter has to stop."""

    lease_id: str
    username: str
    reason: str
    cohort: str
    course: str
    lab: str
    created_at: datetime
    newest: bool
    """No later lease of this person for a server exists."""


def is_its_server(due: DueStop, server: Server | None) -> bool:
    """True when `server` is the lab that holds the lease."""
    if server is None or not due.newest or server.state != "ready" or server.started is None:
        return False
    wanted = {"gpu": "yes", "cohort": due.cohort, "course": due.course, "lab": due.lab}
    same = all(server.options.get(key) == value for key, value in wanted.items())
    return same and server.started <= due.created_at + _SLACK
