"""What staff does to somebody's lab: stop it, start it again, give it more time."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.orm import Session

from core import log
from core.units import WHOLE
from usage import audit, requests, views
from usage.hub import Hub, HubDown
from usage.leases import Clock
from usage.refusals import No

_LOG = logging.getLogger("usage")

EXTEND_MINUTES = 30
"""What one press of the button gives: minutes of this lab's share of a GPU."""

_GONE_SECONDS = 60
_under_way: dict[str, asyncio.Task[None]] = {}
"""Restarts by person; asyncio itself keeps no task alive."""


async def restart(hub: Hub, username: str, actor: str) -> bool:
    """Stop a person's lab and start the same one again once it is gone; False when there is none.

    Returns when the stop was asked for. Raises HubDown. Files stay on the person's volume.
    """
    server = await hub.server(username)
    if server is None:
        return False
    await hub.stop(username)
    if username not in _under_way:
        task = asyncio.create_task(_again(hub, username, server.options, actor))
        _under_way[username] = task
        task.add_done_callback(lambda _task: _under_way.pop(username, None))
    return True


async def _again(hub: Hub, username: str, options: dict[str, str], actor: str) -> None:
    for _second in range(_GONE_SECONDS * 2):
        try:
            if await hub.server(username) is None:
                await hub.start(username, options)
                log.event(_LOG, "lab started again", person=username, actor=actor)
                return
        except HubDown as error:
            log.event(_LOG, "restart waits for the hub", person=username, error=str(error))
        await asyncio.sleep(0.5)
    log.event(_LOG, "lab not started again: it did not stop in time", person=username, actor=actor)


def extend(
    session: Session, cohort: str, username: str, actor: str, is_admin: bool, time: Clock
) -> None:
    """Give a running GPU lab `EXTEND_MINUTES` more out of the cohort's allowance. Raises No.

    Booked like an approved request, so that the ledger says who gave it and for whom.
    """
    lease = views.open_lease(session, username)
    if lease is None or lease.cohort_id != cohort:
        raise No("no_gpu_lab", username=username)
    minutes = -(-EXTEND_MINUTES * lease.weight // WHOLE)
    row = requests.ask(session, cohort, username, minutes, "", time)
    requests.decide(session, row.id, cohort, True, actor, is_admin, time)
    audit.note(session, time, actor, "lab.extend", cohort, username, minutes=EXTEND_MINUTES)
