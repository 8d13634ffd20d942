"""Counting failures, so that guessing a password or a code takes longer than anyone has."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_KEYS = 10_000


class Attempts:
    """At most `limit` failures per key within `window_s` seconds; 0: as many as one likes, as
    NativeAuthenticator's allowed_failed_logins. In memory, bounded."""

    def __init__(
        self, limit: int, window_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self.window_s = window_s
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def blocked_s(self, key: str) -> float:
        """Seconds until `key` may try again; 0 when it may now."""
        recent = self._recent(key)
        if self.limit <= 0 or len(recent) < self.limit:
            return 0.0
        return recent[-self.limit] + self.window_s - self._clock()

    def failed(self, key: str) -> None:
        """Count one failure of `key`."""
        if self.limit <= 0:
            return
        recent = self._recent(key)[-self.limit :]
        self._failures[key] = [*recent, self._clock()]
        self._failures.move_to_end(key)
        while len(self._failures) > _MOST_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    def _recent(self, key: str) -> list[float]:
        since = self._clock() - self.window_s
        return [at for at in self._failures.get(key, []) if at > since]
