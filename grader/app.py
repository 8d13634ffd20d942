"""The grader service put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI

from core.settings import Settings
from grader import (
    api_cli,
    api_lab,
    pages_certificate,
    pages_learner,
    pages_marking,
    pages_teacher,
)
from grader.desk import Desk
from web.app import create_app as web_app


def create_app(settings: Settings) -> FastAPI:
    """The application; migrates its database first.

    Raises CourseError for a wrong course, FileNotFoundError when secrets were not made.
    """
    desk = Desk(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.database.close()

    app = web_app(settings, service="grader", room=Path(__file__).parent, lifespan=lifespan)
    app.state.desk = desk
    app.include_router(api_lab.router)
    app.include_router(api_cli.router)
    app.include_router(pages_learner.router)
    app.include_router(pages_certificate.router)
    app.include_router(pages_marking.router)
    app.include_router(pages_teacher.router)
    return app
