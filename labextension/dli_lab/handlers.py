"""Addresses under ``<base>/dli-lab/`` that the JupyterLab extension calls."""

from __future__ import annotations

import asyncio
import json
import os
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse
from tornado.web import HTTPError, authenticated

from dli_lab import counting, coursework

LANGUAGES = ("ko", "en")
WAIT_S = 25.0
"""So long the usage service may hold a question about the status."""

_TIMEOUT_S = 10.0
_BODY_MAX = 10_000
_ID = "([0-9A-Za-z][0-9A-Za-z_-]{0,99})"

FEEDBACK_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'self'"
)


class UsageHandler(APIHandler):
    """What the handlers of the usage service share."""

    async def usage(self, method: str, path: str, body: Any = None) -> HTTPResponse:
        """One call of ``/api/me`` with this lab's own token. Raises HTTPError for the browser."""
        url = os.environ.get("DLI_USAGE_URL", "").rstrip("/")
        token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
        if not url or not token:
            raise HTTPError(HTTPStatus.NOT_FOUND, "not a lab of the platform")
        try:
            answer = await AsyncHTTPClient().fetch(
                f"{url}/api/me{path}",
                method=method,
                headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
                body=None if method == "GET" else json.dumps(body or {}),
                request_timeout=_TIMEOUT_S + WAIT_S,
                raise_error=False,
            )
        except (HTTPClientError, OSError) as error:
            self.log.warning("usage service: %s: %s", path, error)
            raise HTTPError(HTTPStatus.BAD_GATEWAY, "the usage service does not answer") from None
        if answer.code not in (
            HTTPStatus.OK,
            HTTPStatus.CREATED,
            HTTPStatus.NO_CONTENT,
            HTTPStatus.CONFLICT,
        ):
            self.log.warning("usage service: %s: %s", path, answer.code)
            raise HTTPError(HTTPStatus.BAD_GATEWAY, "the usage service does not answer")
        return answer

    def pass_on(self, answer: HTTPResponse) -> None:
        """Give the browser the service's own status and JSON."""
        self.set_status(answer.code)
        if answer.code != HTTPStatus.NO_CONTENT:
            self.set_header("Content-Type", "application/json")
            self.finish(answer.body)

    def language(self) -> str:
        """The reader's language: what the browser says, else the lab's."""
        wanted = self.get_query_argument("lang", "")
        return wanted if wanted in LANGUAGES else os.environ.get("DLI_LANG", "en")

    def json_body(self) -> dict[str, Any]:
        """The request's JSON object. Raises HTTPError 400."""
        if len(self.request.body) > _BODY_MAX:
            raise HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        body = self.get_json_body()
        if not isinstance(body, dict):
            raise HTTPError(HTTPStatus.BAD_REQUEST, "a JSON object is needed")
        return body


class StatusHandler(UsageHandler):
    """GPU time left and warnings (core.wire.LabStatus), with what only the lab knows."""

    @authenticated
    async def get(self) -> None:
        """Asked by the status bar. With ``known`` it is answered when something has changed."""
        query = {"lang": self.language()}
        if known := self.get_query_argument("known", ""):
            query |= {"known": known[:100], "wait": str(WAIT_S)}
        answer = await self.usage("GET", f"/status?{urlencode(query)}")
        status = json.loads(answer.body)
        for name in ("course", "lab", "cohort", "assignment"):
            status[name] = os.environ.get(f"DLI_{name.upper()}", "")
        self.finish(json.dumps(status))


class SeenHandler(UsageHandler):
    """The person was shown a warning."""

    @authenticated
    async def post(self, warning: str) -> None:
        """Record it; again is harmless."""
        self.pass_on(await self.usage("POST", f"/warnings/{quote(warning, safe='')}/seen"))


class RequestsHandler(UsageHandler):
    """The person asks for more GPU time."""

    @authenticated
    async def post(self) -> None:
        """Body ``{"minutes": int, "note": str}``. 409 with a sentence when it cannot be."""
        body = self.json_body()
        minutes, note = body.get("minutes"), body.get("note", "")
        if not isinstance(minutes, int) or not 1 <= minutes <= 10_080 or not isinstance(note, str):
            raise HTTPError(HTTPStatus.BAD_REQUEST, "minutes: a whole number from 1 to 10080")
        asked = {"minutes": minutes, "note": note[:1000]}
        self.pass_on(await self.usage("POST", "/requests", asked))


class AssignmentsHandler(UsageHandler):
    """The assignments side panel."""

    @authenticated
    async def get(self) -> None:
        """``{"assignments": […], "current": id}`` or ``{"error": sentence}``."""
        self.finish(json.dumps(await asyncio.to_thread(coursework.listing, self.language())))


class AssignmentHandler(UsageHandler):
    """What can be done with one assignment."""

    @authenticated
    async def post(self, course: str, assignment: str, action: str) -> None:
        """fetch, validate, submit, or restore with body ``{"submission": id}``."""
        given = [course, assignment]
        if action == "restore":
            given.append(str(self.json_body().get("submission", ""))[:200])
        act = getattr(coursework, action)
        answer = await asyncio.to_thread(act, self.language(), *given)
        for result in answer.get("notebooks", []):
            counting.TALLY.check(bool(result["passed"]))
        self.finish(json.dumps(answer))


class FeedbackHandler(UsageHandler):
    """A released feedback page: hostile HTML, so it gets no script, no origin, no network."""

    @property
    def content_security_policy(self) -> str:
        """Instead of Jupyter Server's own."""
        return FEEDBACK_POLICY

    @authenticated
    async def get(self, submission: str, notebook: str) -> None:
        """The page, or 404."""
        from grader.exchange.client import Refused, Unavailable

        try:
            page = await asyncio.to_thread(
                coursework.feedback, self.language(), submission, notebook
            )
        except (Refused, Unavailable) as error:
            raise HTTPError(HTTPStatus.NOT_FOUND, str(error)) from None
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page)


class SignedInHandler(JupyterHandler):
    """Where a page's frame ends that signs in anew, after the lab was started again."""

    @property
    def content_security_policy(self) -> str:
        """Instead of Jupyter Server's own."""
        return "default-src 'none'; frame-ancestors 'self'"

    @authenticated
    def get(self) -> None:
        """An empty page; whoever is not signed in is sent to the Hub first."""
        self.finish("<!doctype html><title>-</title>")


def register(serverapp: Any) -> None:
    """Add the addresses to the server."""
    base = serverapp.web_app.settings["base_url"].rstrip("/") + "/dli-lab"
    serverapp.web_app.add_handlers(
        ".*$",
        [
            (f"{base}/status", StatusHandler),
            (f"{base}/signed-in", SignedInHandler),
            (f"{base}/warnings/([0-9A-Za-z_-]{{1,100}})/seen", SeenHandler),
            (f"{base}/requests", RequestsHandler),
            (f"{base}/assignments", AssignmentsHandler),
            (f"{base}/assignments/{_ID}/{_ID}/(fetch|validate|submit|restore)", AssignmentHandler),
            (f"{base}/submissions/{_ID}/feedback/([^/]{{1,200}})", FeedbackHandler),
        ],
    )
