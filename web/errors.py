"""Every error in the page's layout and the reader's language; as JSON below ``/api``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from web.auth import HubUnavailable, SignInNeeded, sign_in_of
from web.i18n import gettext as _
from web.pages import render
from web.security import SAFE_METHODS, local_path


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(HubUnavailable, _hub_unavailable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def error(
    request: Request,
    status: int,
    message: str = "",
    headers: Mapping[str, str] | None = None,
    problems: list[Any] | None = None,
) -> Response:
    """The error page, or JSON ``{"error", "message", "problems"}`` below ``/api``."""
    text = message or _explanation(status)
    response: Response
    if _is_api(request):
        body = {"error": _phrase(status), "message": text}
        response = JSONResponse(body | ({"problems": problems} if problems else {}), status)
    else:
        response = render(
            request,
            "web/error.html",
            status,
            code=status,
            title=_title(status),
            message=text,
            problems=problems or [],
        )
    response.headers.update(headers or {})
    return response


def internal_error(request: Request) -> Response:
    """The page for a fault of ours. The log holds the cause; the page never does."""
    return error(request, 500)


async def _sign_in(request: Request, _problem: Exception) -> Response:
    if _is_api(request):
        return error(request, 401)
    hub = sign_in_of(request)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request"):
        # A fragment cannot hold a sign-in page: htmx loads the whole page again instead.
        page = request.headers.get("hx-current-url", "")
        return Response(status_code=401, headers={"HX-Redirect": _path_of(page, hub.prefix)})
    return hub.start(here if request.method in SAFE_METHODS else hub.prefix)


async def _hub_unavailable(request: Request, _problem: Exception) -> Response:
    return error(
        request,
        503,
        _(
            "The sign-in service does not answer right now. "
            "Running labs keep running. Try again in a minute."
        ),
        headers={"Retry-After": "30"},
    )


async def _http(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    if problem.status_code < 400:
        return Response(status_code=problem.status_code, headers=problem.headers)
    said = problem.detail if problem.detail != _phrase(problem.status_code) else ""
    if problem.status_code == 400 and "exceeded maximum size" in said:  # the form reader's words
        said = _(
            "One of the fields holds more than 1 MB. Go back: what you typed is still there. "
            "Shorten it and send it again."
        )
    return error(request, problem.status_code, str(said), problem.headers)


async def _invalid(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)
    found = [
        {
            "where": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            "what": item["msg"],
        }
        for item in jsonable_encoder(problem.errors())
    ]
    return error(request, 422, problems=found)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(f"{request.scope.get('root_path', '')}/api/")


def _path_of(address: str, otherwise: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
    except ValueError:
        return otherwise
    return local_path(parts.path + (f"?{parts.query}" if parts.query else ""), otherwise)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _title(status: int) -> str:
    titles = {
        401: _("Please sign in"),
        403: _("You may not open this"),
        404: _("There is no such page"),
        422: _("Something in this form is not right"),
        503: _("Not available right now"),
    }
    return titles.get(status) or (
        _("Something went wrong on our side") if status >= 500 else _("This did not work")
    )


def _explanation(status: int) -> str:
    sentences = {
        401: _("Sign in and try again."),
        403: _(
            "Your account has no access to this page. If you think it should, ask your instructor."
        ),
        404: _("The address may be mistyped, or the page was moved."),
        422: _("Check the values below and send the form again."),
        503: _("Try again in a minute."),
    }
    return sentences.get(status) or (
        _("The error was recorded. Try again; if it stays, tell the people who run this platform.")
        if status >= 500
        else _("Go back and try again.")
    )
