"""nbgrader's assignment list and validation, imported when first used.

Importing nbgrader costs a lab about 0.4 s of CPU and 16 MiB (nbconvert, SQLAlchemy). Its server
extensions are therefore not in the list of extensions: their addresses are registered here, and the
first request to one of them imports nbgrader's own handlers, which then answer as usual.
"""

from __future__ import annotations

import re
from typing import Any

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import PathMatches, Router
from tornado.web import Application, RequestHandler

ADDRESSES = ("assignments", "assignments/.*", "courses", "nbgrader_version")
"""What nbgrader's two extensions serve; a test in the image compares."""


class LazyNbgrader(Router):
    """Finds nbgrader's handler for a request."""

    def __init__(self, serverapp: Any) -> None:
        self._serverapp = serverapp
        self._routes: list[tuple[PathMatches, type[RequestHandler]]] = []

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
        """The delegate of the handler that nbgrader has for the address, or None (404)."""
        if not self._routes:
            self._routes = _load(self._serverapp)
        for matcher, handler in self._routes:
            found = matcher.match(request)
            if found is not None:
                delegate: HTTPMessageDelegate = self._serverapp.web_app.get_handler_delegate(
                    request, handler, **found
                )
                return delegate
        return None


def register(serverapp: Any) -> None:
    """Add the addresses to the server."""
    base = re.escape(serverapp.web_app.settings["base_url"])
    router = LazyNbgrader(serverapp)
    # Tornado's own method: Jupyter Server's looks into the handler for a sign-in check, and there
    # is none to look into yet. nbgrader's handlers check (tests/docker/test_lab_image.py).
    Application.add_handlers(
        serverapp.web_app, ".*$", [(f"{base}{address}", router) for address in ADDRESSES]
    )


def _load(serverapp: Any) -> list[tuple[PathMatches, type[RequestHandler]]]:
    from nbgrader.server_extensions.assignment_list import handlers as listing
    from nbgrader.server_extensions.validate_assignment import handlers as validation

    from dli_lab.assignment_list import AssignmentList

    settings = serverapp.web_app.settings
    manager = AssignmentList(parent=serverapp)
    manager.root_dir = serverapp.root_dir
    settings["assignment_list_manager"] = manager
    settings["root_dir"] = serverapp.root_dir
    base = re.escape(settings["base_url"].rstrip("/"))
    return [
        (PathMatches(base + pattern), handler)
        for pattern, handler in [*validation.default_handlers, *listing.default_handlers]
    ]
