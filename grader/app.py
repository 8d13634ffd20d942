"""The grader service put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI

from core.settings import Settings
from grader import api_cli, api_lab, api_usage, upkeep
from grader.desk import Desk
from grader.pages import (
    audit,
    certificate,
    dates,
    gradebook,
    learner,
    marking,
    parts,
    publishing,
    receipts,
    teacher,
)
from web.app import create_app as web_app


def create_app(settings: Settings) -> FastAPI:
    """The application; migrates its database first.

    Raises CourseError for a wrong course, FileNotFoundError when secrets were not made.
    """
    desk = Desk(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        keeping = asyncio.create_task(upkeep.run(desk))
        yield
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        desk.database.close()

    app = web_app(settings, service="grader", room=Path(__file__).parent, lifespan=lifespan)
    app.state.desk = desk
    for part in (
        api_lab,
        api_cli,
        api_usage,
        learner,
        parts,
        certificate,
        dates,
        gradebook,
        marking,
        publishing,
        receipts,
        teacher,
        audit,
    ):
        app.include_router(part.router)
    return app
