"""Turns: few labs start at a time, the others wait in line.

A start is work for a processor. When thirty start together each gets a thirtieth of the machine and
all are ready at the end; a few at a time finish one after the other, so that half of the learners
wait half as long and the last one no longer than before.

A turn ends when the lab is ready, and after `HOLD_S` at the latest: a start that hangs must not
hold up the others.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

HOLD_S = 15.0


def by_processors() -> int:
    """How many starts keep this machine busy without getting in each other's way: one for each
    processor. More of them cost more in all: ten on two processors took 30 % more processor time
    when all ran at once."""
    return max(2, len(os.sched_getaffinity(0)))


def halving(tell: Callable[[int], None]) -> Callable[[int], None]:
    """Tells the first place in line, then each time that it has halved: not every single step."""
    told = 0

    def moved(place: int) -> None:
        nonlocal told
        if not told or place * 2 <= told:
            told = place
            tell(place)

    return moved


class Turns:
    """A line in which everybody is served in the order of arrival, `at_once` at a time."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._line: deque[tuple[asyncio.Future[None], Callable[[int], None]]] = deque()

    @asynccontextmanager
    async def turn(self, moved: Callable[[int], None]) -> AsyncIterator[None]:
        """Wait for a turn and hold it inside; `moved` hears the place (1: next) when it changes."""
        await self._wait(moved)
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._give()

        timer = asyncio.get_running_loop().call_later(HOLD_S, end)
        try:
            yield
        finally:
            timer.cancel()
            end()

    async def _wait(self, moved: Callable[[int], None]) -> None:
        if self._free:
            self._free -= 1
            return
        mine = (asyncio.get_running_loop().create_future(), moved)
        self._line.append(mine)
        moved(len(self._line))
        try:
            await mine[0]
        except asyncio.CancelledError:
            if mine in self._line:
                self._line.remove(mine)
                self._tell()
            else:
                self._give()  # the turn came in the same moment
            raise

    def _give(self) -> None:
        """Hand a turn that ended to the first in line."""
        while self._line:
            future, _moved = self._line.popleft()
            if not future.done():
                future.set_result(None)
                self._tell()
                return
        self._free += 1

    def _tell(self) -> None:
        for place, (_future, moved) in enumerate(self._line, 1):
            moved(place)
