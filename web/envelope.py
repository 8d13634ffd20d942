"""What surrounds every request: language, security headers, one log line, the last safety net."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import i18n as languages
from core import log
from web import i18n
from web.security import HEADERS

_QUIET = ("/healthz", "/static/")


class Envelope:
    """ASGI middleware around one service."""

    def __init__(
        self, app: ASGIApp, service: str, folders: tuple[Path, ...], default_language: str
    ) -> None:
        self._app = app
        self._root = f"/services/{service}"
        self._folders = folders
        self._default = default_language
        self._logger = logging.getLogger(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == self._root:  # as people type it
            await RedirectResponse(f"{self._root}/", 308)(scope, receive, send)
            return
        scope["root_path"] = self._root  # routes are declared without it
        request = Request(scope, receive)
        i18n.use(self._language(request), self._folders)
        sending = _Sending(send)
        began = time.monotonic()
        try:
            await self._app(scope, receive, sending)
        except Exception:
            self._logger.exception("request failed", extra={"dli": {"path": _path(request)}})
            if sending.status is not None:  # half an answer went out: only closing is left
                raise
            from web.errors import internal_error

            await internal_error(request)(scope, receive, sending)
        finally:
            self._record(request, sending.status, began)

    def _language(self, request: Request) -> str:
        return languages.choose(
            request.cookies.get(languages.COOKIE),
            request.headers.get("accept-language"),
            self._default,
        )

    def _record(self, request: Request, status: int | None, began: float) -> None:
        path = _path(request)
        if any(part in path for part in _QUIET) and status is not None and status < 400:
            return
        person = getattr(request.state, "person", None)
        log.event(
            self._logger,
            "request",
            method=request.method,
            path=path,  # never the query: it may hold a sign-in code
            status=status,
            ms=round((time.monotonic() - began) * 1000),
            person=person.name if person else "",
        )


def _path(request: Request) -> str:
    """The path for the log, without an event code in it: with one, anybody can join a cohort."""
    path: str = request.scope["path"]
    code = request.path_params.get("code")
    return path.replace(code, "…") if code else path


class _Sending:
    """Adds our headers to the answer and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Vary", "Cookie, Accept-Language")
        await self._send(message)
