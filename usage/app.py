"""The usage service as an application: database, meter, APIs and pages put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DataError

from core import consent, log
from core.settings import Settings
from core.shelf import Shelf
from usage import api_internal, api_lab, api_runner, metrics, texts
from usage.classroom.board import Board
from usage.classroom.coursework import Coursework
from usage.database import open_database
from usage.hub import Hub, HubDown
from usage.meter import Meter
from usage.pages import admin, classroom, home, my_data, start
from usage.prestart.starter import Starter
from usage.pulse import Pulse
from usage.retention.erasing import Eraser
from usage.service import Usage, rules_of
from web.app import create_app as web_app

_log = logging.getLogger("usage")


def create_app(settings: Settings, hub: Hub | None = None) -> FastAPI:
    """The application. Migrates its database first. `hub`: another than the settings'.

    Raises course.CourseError and consent.ConsentError for a course or text that cannot be used,
    FileNotFoundError when secrets were not made.
    """
    courses = Shelf(settings.courses_dir, settings.labs.images)
    database = open_database(settings.usage_database)
    database.migrate()
    usage = Usage(database, rules_of(settings), courses.keys())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub = reached = hub or Hub(settings)
        app.state.pulse = Pulse(usage, reached)
        await _greet(reached)
        app.state.coursework = coursework = Coursework(settings)
        app.state.board = Board(usage, app.state.pulse, coursework)
        starter = Starter(usage, reached, courses, settings.site.language)
        keep = settings.usage.keep_days, settings.usage.announce_days
        app.state.eraser = eraser = Eraser(usage, reached, coursework, *keep)
        tasks = [
            asyncio.create_task(work.run())
            for work in (Meter(usage, reached, app.state.pulse.wake), starter, eraser)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await coursework.close()
            await reached.close()
            database.close()

    app = web_app(settings, service="usage", room=Path(__file__).parent, lifespan=lifespan)
    app.state.usage = usage
    app.state.courses = courses
    app.state.consent = consent.load(settings)
    app.add_exception_handler(texts.Said, _said)
    app.add_exception_handler(OverflowError, _unfit)
    app.add_exception_handler(DataError, _unfit)
    app.include_router(api_internal.router)
    app.include_router(api_runner.router)
    app.include_router(api_lab.router)
    app.include_router(home.router)
    app.include_router(start.router)
    app.include_router(my_data.router)
    app.include_router(admin.router)
    app.include_router(classroom.router)
    app.add_api_route("/metrics", _metrics)
    return app


async def _greet(hub: Hub) -> None:
    """Say whether the Hub answers. Without it leases go on; pages and stops have to wait."""
    try:
        log.event(_log, "hub reached", version=await hub.version())
    except HubDown as error:
        log.event(_log, "hub not reached yet; leases are served, pages wait", error=str(error))


async def _said(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, texts.Said)
    return JSONResponse(asdict(problem.refusal), 409)


async def _unfit(_request: Request, problem: Exception) -> Response:
    """A number or text that no column can hold: the sender's mistake, and nothing was written."""
    log.event(_log, "value does not fit", error=f"{problem!r:.300}")
    return JSONResponse({"detail": "a number is too large or a text too long"}, 422)


def _metrics(request: Request) -> Response:
    """For this machine only: what came through the proxy carries its header."""
    local = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    if not local or "x-forwarded-for" in request.headers:
        raise HTTPException(404)
    return Response(
        metrics.render(request.app.state.usage),
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )
