"""Hostile notebooks as feedback pages in a real browser: no script runs, nothing is fetched.

Every payload would call back to the page's own server or open a dialog. A control page without our
policy shows that the browser and the payloads do work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser

from grader.feedback import _exporter, _given
from grader.pages.learner import NOTEBOOK_POLICY
from tests.security.payloads import SHAPES, payloads


def page() -> str:
    """The feedback page of a notebook that is nothing but payloads."""
    cells = [new_markdown_cell(text) for text in payloads(SHAPES)]
    for text in payloads(SHAPES):
        shown = new_output("display_data", {"text/html": text, "text/plain": "x"})
        script = new_output("display_data", {"application/javascript": text})
        drawn = new_output("display_data", {"image/svg+xml": f"<svg>{text}</svg>"})
        printed = new_output("stream", text=text)
        cells.append(new_code_cell(text, outputs=[shown, script, drawn, printed]))
    notebook = nbformat.from_dict(new_notebook(cells=cells))
    about: dict[str, object] = {
        "notebook": "<script>fetch('/hit/name')</script>",
        "score": 0,
        "max_score": 1,
        "late_penalty": 0,
    }
    html, _resources = _exporter().from_notebook_node(
        notebook, resources={"nbgrader": about} | _given()
    )
    return str(html)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[str]]]:
    hits: list[str] = []
    pages = {"/feedback": page(), "/control": "".join(payloads(SHAPES))}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/hit"):
                hits.append(self.path)
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if self.path == "/feedback":
                self.send_header("Content-Security-Policy", NOTEBOOK_POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: `hits` has what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", hits
    server.shutdown()
    server.server_close()


def visit(browser: Browser, url: str, awaited: list[str] | None = None) -> int:
    """Open a page and stay for a moment, at most until something is `awaited`; dialogs opened."""
    dialogs = []
    tab = browser.new_page()
    tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.goto(url, wait_until="commit")
    tab.wait_for_timeout(1500)
    until = time.monotonic() + 60
    while awaited == [] and time.monotonic() < until:
        tab.wait_for_timeout(200)
    tab.close()
    return len(dialogs)


def test_no_payload_runs_or_fetches(site: tuple[str, list[str]], chromium: Browser) -> None:
    url, hits = site
    assert len(payloads(SHAPES)) * 6 >= 50  # as text, as source, and in four kinds of output
    assert page().count("fetch(") > 20, "the page shows the payloads"
    dialogs = visit(chromium, f"{url}/feedback")
    assert (dialogs, hits) == (0, [])


def test_the_payloads_do_work_without_the_policy(
    site: tuple[str, list[str]], chromium: Browser
) -> None:
    url, hits = site
    visit(chromium, f"{url}/control", hits)
    assert hits
    hits.clear()
