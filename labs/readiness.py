"""Waiting until a lab's server answers.

JupyterHub's own wait backs off with random pauses of up to 5 s, which costs a learner about 2 s at
every start. Here the pause is a tenth of a second; JupyterHub's first look then finds it ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

PAUSE_S = 0.1
CHECK_ALIVE_EVERY = 10
"""Looks at the server for each look at its container."""


class Died(RuntimeError):
    """The container ended before its server answered."""


async def wait(url: str, alive: Callable[[], Awaitable[bool]]) -> None:
    """Return when `url` answers anything below 500. The caller sets the time limit.

    Raises Died when `alive` says no.
    """
    timeout = aiohttp.ClientTimeout(total=5)
    looks = 0
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while not await _answers(session, url):
            looks += 1
            if looks % CHECK_ALIVE_EVERY == 0 and not await alive():
                raise Died("the container ended before its server answered")
            await asyncio.sleep(PAUSE_S)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as response:
            return response.status < 500
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
