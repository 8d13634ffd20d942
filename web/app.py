"""One FastAPI application per service, with everything its pages share.

Routes are declared without the prefix (``@app.get("/cohorts")``) and reached below
``/services/<service>/``, as the Hub's proxy hands requests on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from core import i18n as languages
from core import secrets
from core.settings import Settings
from web import csrf, errors, security
from web.assets import Assets, content_type
from web.auth import HubSignIn, sign_in_of
from web.envelope import Envelope
from web.pages import Pages, simulated_gpus

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]

_YEAR = 365 * 24 * 3600


def create_app(
    settings: Settings, service: str, room: Path, lifespan: Lifespan | None = None
) -> FastAPI:
    """The application of `service`, whose templates, texts and static files lie in `room`.

    ``app.state`` holds ``settings``, ``pages``, ``sign_in``, ``keys`` (secrets for
    `web.auth.internal`) and ``simulated_gpus`` (a function that a service may replace).
    Raises FileNotFoundError when secrets were not made (core.secrets.ensure).
    """
    app = FastAPI(
        title=f"{settings.site.name}: {service}",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # it would go to whatever host the request names
        lifespan=lifespan,
        dependencies=[Depends(csrf.guard)],
    )
    assets = Assets(settings.state_dir, room)
    app.state.settings = settings
    app.state.assets = assets
    app.state.pages = Pages(settings, service, room, assets)
    app.state.sign_in = HubSignIn(settings, service)
    app.state.keys = {name: secrets.load(settings.state_dir, name) for name in secrets.NAMES}
    app.state.simulated_gpus = lambda: simulated_gpus(settings.state_dir)
    errors.install(app)
    # The envelope logs each request; uvicorn's line would hold the query, and so sign-in codes.
    logging.getLogger("uvicorn.access").addFilter(_nothing)
    app.include_router(_router)
    app.add_middleware(
        Envelope,
        service=service,
        folders=(room / "locale",),
        default_language=settings.site.language,
    )
    return app


def _nothing(_record: logging.LogRecord) -> bool:
    return False


_router = APIRouter()


@_router.get("/healthz")
def _healthz() -> PlainTextResponse:
    """The process answers."""
    return PlainTextResponse("ok\n")


@_router.get("/static/{name:path}")
def _static(request: Request, name: str, v: str = "") -> Response:
    assets: Assets = request.app.state.assets
    path = assets.find(name)
    if path is None:
        raise HTTPException(404)
    fresh = bool(v) and v == assets.version(name)
    keep = f"public, max-age={_YEAR}, immutable" if fresh else "no-cache"
    return FileResponse(path, media_type=content_type(path), headers={"Cache-Control": keep})


@_router.post("/language")
def _language(
    request: Request, language: Annotated[str, Form()], next: Annotated[str, Form()] = ""
) -> RedirectResponse:
    """Keep the chosen language for all pages and go back to where the person was."""
    hub = sign_in_of(request)
    response = RedirectResponse(security.local_path(next, hub.prefix), 303)
    if language in languages.LANGUAGES:
        response.set_cookie(
            languages.COOKIE,
            language,
            max_age=_YEAR,
            path="/",
            secure=hub.secure,
            samesite="lax",
        )
    return response


@_router.get("/oauth_callback")
async def _oauth_callback(request: Request) -> RedirectResponse:
    return await sign_in_of(request).finish(request)


@_router.post("/logout")
def _logout(request: Request) -> RedirectResponse:
    return sign_in_of(request).sign_out()
