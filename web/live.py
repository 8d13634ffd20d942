"""Live parts of pages, by server-sent events: sent at once, and again whenever they changed.

A route gives the part as text and the page names the route::

    @router.get("/events")
    async def events(request: Request, ...) -> StreamingResponse:
        return live.stream(request, part, every_s=2)

    <div hx-sse:connect="{{ prefix }}events" hx-swap="innerMorph">…</div>

with ``{{ ui.live_head() }}`` in the page's head. The browser connects again by itself, also after a
restart of the service, and says what it has (``Last-Event-ID``), so that nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import HTTPException, Request
from starlette.responses import StreamingResponse

_LOG = logging.getLogger("web.live")

LIFE_SECONDS = 600
"""A stream ends after this; the browser's next one has its sign-in checked anew."""

SILENCE_SECONDS = 15
"""So often something is sent, so that no proxy takes the connection for dead."""

Part = Callable[[], Awaitable[str]]


def stream(request: Request, part: Part, every_s: float = 2.0) -> StreamingResponse:
    """Send what `part` gives, now and after each change, looking every `every_s` seconds.

    A look that fails is logged and the next one tries again; an HTTPException (the person may no
    longer see this) ends the stream.
    """
    return StreamingResponse(
        _events(request, part, every_s),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(request: Request, part: Part, every_s: float) -> AsyncIterator[str]:
    known = request.headers.get("last-event-id", "")
    until = time.monotonic() + LIFE_SECONDS
    spoke = time.monotonic()
    yield ": hello\n\n"
    while time.monotonic() < until and not closing(request):
        try:
            text = await part()
        except HTTPException:
            return
        except Exception:
            _LOG.exception("a live part could not be made")
            text = None
        if text is not None and (name := _name(text)) != known:
            known, spoke = name, time.monotonic()
            yield event(text, name)
        elif time.monotonic() - spoke > SILENCE_SECONDS:
            spoke = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(every_s)


def event(text: str, name: str = "") -> str:
    """One event with `text` as its data; `name` is its id."""
    lines = [f"id: {name}"] if name else []
    lines += [f"data: {line}" for line in text.splitlines() or [""]]
    return "\n".join(lines) + "\n\n"


def closing(request: Request) -> bool:
    """The service was asked to end: streams end by themselves, or it would wait for them."""
    asked: Callable[[], bool] | None = getattr(request.app.state, "closing", None)
    return asked is not None and asked()


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
