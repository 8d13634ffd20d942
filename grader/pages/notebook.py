"""A notebook as a page in a sandbox of its own."""

from __future__ import annotations

from starlette.responses import Response

from grader.notebook_html import as_html
from grader.pages.learner import NOTEBOOK_POLICY
from web import i18n


def sandboxed(source: bytes, name: str, language: str = "") -> Response:
    """The notebook `source`: no script, no origin, nothing loaded from anywhere. `language`: of
    its text; empty: the reader's."""
    return as_sandboxed(as_html(source, name, language or i18n.language()))


def as_sandboxed(page: str | bytes) -> Response:
    """A page made of what a learner wrote."""
    headers = {"Content-Security-Policy": NOTEBOOK_POLICY, "Cache-Control": "private, no-store"}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)
