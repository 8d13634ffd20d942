"""How many cells ran lately and how many of them failed: for the instructor's view of the class.

Numbers only. Of a kernel's messages nothing but the type in the header is read: no code, no output
and no error text is looked at, kept or sent.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from typing import Any

_log = logging.getLogger(__name__)

MINUTES = 10
"""What the numbers are counted over (usage/classroom/activity.py says the same)."""

_KINDS = {"execute_input": "runs", "error": "errors"}
NAMES = ("runs", "errors", "checks", "failed_checks")


class Tally:
    """Events of the last `MINUTES` minutes, by kind."""

    def __init__(self) -> None:
        self._events: deque[tuple[float, str]] = deque(maxlen=100_000)

    def note(self, name: str, at: float | None = None) -> None:
        """One more of `name` (one of `NAMES`); `at` in seconds of the monotonic clock."""
        self._events.append((time.monotonic() if at is None else at, name))

    def check(self, passed: bool) -> None:
        """An assignment was validated."""
        self.note("checks")
        if not passed:
            self.note("failed_checks")

    def totals(self, at: float | None = None) -> dict[str, int]:
        """How many of each kind."""
        since = (time.monotonic() if at is None else at) - 60 * MINUTES
        while self._events and self._events[0][0] < since:
            self._events.popleft()
        return {name: sum(kind == name for _at, kind in self._events) for name in NAMES}


TALLY = Tally()
"""This lab's own."""


def watch(manager: Any, tally: Tally = TALLY) -> None:
    """Count what kernels of `manager` run, from those started next."""
    start, stop = manager.start_watching_activity, manager.stop_watching_activity
    streams: dict[str, Any] = {}

    def start_and_count(kernel_id: str) -> None:
        start(kernel_id)
        try:
            streams[kernel_id] = _listen(manager.get_kernel(kernel_id), tally)
        except Exception as error:  # a lab without these numbers is a lab all the same
            _log.warning("cells of a kernel are not counted: %s", error)

    def stop_both(kernel_id: str) -> None:
        stream = streams.pop(kernel_id, None)
        if stream is not None and not stream.socket.closed:
            stream.close()
        stop(kernel_id)

    manager.start_watching_activity = start_and_count
    manager.stop_watching_activity = stop_both


def _listen(kernel: Any, tally: Tally) -> Any:
    stream = kernel.connect_iopub()
    session = kernel.session

    def count(parts: list[bytes]) -> None:
        kind = kind_of(session.feed_identities(parts)[1])
        if kind:
            tally.note(kind)

    stream.on_recv(count)
    return stream


def kind_of(parts: list[bytes]) -> str:
    """Which number a message adds to; empty for none. `parts`: signature, header, and so on."""
    try:
        return _KINDS.get(json.loads(parts[1])["msg_type"], "")
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
