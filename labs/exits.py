"""The moment at which processes end, told by the kernel instead of found by looking.

A pidfd becomes readable when its process has ended. For a container's first process that is after
all others in the container are gone, so it is the moment at which its GPU is free.
"""

from __future__ import annotations

import os
import select

from labs.held import started_ms


class Exits:
    """Watches processes by a key. `watch` and `wait` may be called from different threads."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, str] = {}
        self._watched: set[str] = set()

    def watch(self, key: str, pid: int, started: int) -> bool:
        """Watch process `pid` that started at `started` (labs.held.started_ms).

        False when it is gone already, or when too many files are open.
        """
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return False
        if started_ms(pid) != started:  # looked at after opening: the number may be used again
            os.close(handle)
            return False
        self._keys[handle] = key
        self._watched.add(key)
        self._epoll.register(handle, select.EPOLLIN)
        return True

    def watches(self, key: str) -> bool:
        """True until `wait` has told the end of this key's process."""
        return key in self._watched

    def wait(self, seconds: float) -> list[str]:
        """Keys of the processes that have ended, as soon as there is one; none after `seconds`."""
        ended = []
        for handle, _ in self._epoll.poll(max(0.0, seconds)):
            self._epoll.unregister(handle)
            key = self._keys.pop(handle)
            os.close(handle)
            self._watched.discard(key)
            ended.append(key)
        return ended

    def close(self) -> None:
        """Give the handles back."""
        for handle in self._keys:
            os.close(handle)
        self._keys.clear()
        self._epoll.close()
