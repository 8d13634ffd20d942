"""Says to the usage service every minute whether anything computes, and how many cells failed.

An idle GPU lab is warned and then stopped, so the word must be right: a running cell, a cell that
waits its turn and any other program that the learner started (in a terminal, say) count as work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient

from dli_lab import counting

_log = logging.getLogger(__name__)

EVERY_S = 60.0
_OURS = frozenset({"timeout", "sleep", "tini", "sh", "bash", "dash", "ps", "top"})
"""Programs that run in a lab where nobody computes: its first process, and waiting shells."""


def start(serverapp: Any) -> None:
    """Begin to report, in labs of the platform only."""
    if os.environ.get("DLI_USAGE_URL"):
        counting.watch(serverapp.kernel_manager)
        serverapp.io_loop.call_later(EVERY_S, lambda: asyncio.ensure_future(_report(serverapp)))


async def _report(serverapp: Any) -> None:
    while True:
        try:
            body = observe(serverapp)
            if body is not None:
                await _tell({**body, **counting.TALLY.totals()})
        except Exception as error:  # a report that fails is made up for by the next one
            _log.warning("activity not reported: %s", error)
        await asyncio.sleep(EVERY_S)


def observe(serverapp: Any, proc: Path = Path("/proc")) -> dict[str, Any] | None:
    """Whether anything computes, and for how many seconds nothing has; None when nobody knows."""
    manager = serverapp.kernel_manager
    kernels = [manager.get_kernel(kernel_id) for kernel_id in manager.list_kernel_ids()]
    states = {getattr(kernel, "execution_state", None) for kernel in kernels}
    if states - {"idle", "busy", "starting"}:
        return None
    known = {os.getpid(), *(pid for kernel in kernels if (pid := _pid(kernel)))}
    if states - {"idle"} or other_programs(known, proc):
        return {"busy": True, "idle_seconds": 0.0}
    last = [kernel.last_activity for kernel in kernels if getattr(kernel, "last_activity", None)]
    since = max([serverapp.web_app.settings["started"], *last])
    idle = (datetime.now(UTC) - since).total_seconds()
    return {"busy": False, "idle_seconds": max(0.0, idle)}


def _pid(kernel: Any) -> int | None:
    found = getattr(getattr(kernel, "provisioner", None), "pid", None)
    return int(found) if found else None


def other_programs(known: set[int], proc: Path = Path("/proc")) -> list[str]:
    """Names of running programs but this server, its kernels and what always runs."""
    names = []
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) in known:
            continue
        try:
            name = (folder / "comm").read_text().strip()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it has ended meanwhile
        if state not in "ZX" and name not in _OURS:
            names.append(name)
    return names


async def _tell(body: dict[str, Any]) -> None:
    url = os.environ["DLI_USAGE_URL"].rstrip("/")
    await AsyncHTTPClient().fetch(
        f"{url}/api/me/activity",
        method="POST",
        headers={
            "Authorization": f"token {os.environ.get('JUPYTERHUB_API_TOKEN', '')}",
            "Content-Type": "application/json",
        },
        body=json.dumps(body),
        request_timeout=10.0,
    )
