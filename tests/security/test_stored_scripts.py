"""Scripts in every text that people write, on every page that shows it, in Chromium: none runs.

Pages are drawn by the real services and served without their security policy, so that escaping is
tested by itself; the policy that forbids inline scripts is a second wall.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error

from core.wire import Slot
from grader.models import Mark, Release, Score, Submission
from tests.security import test_routes
from tests.security.attacks import note
from tests.security.payloads import payloads
from tests.security.test_routes import Service
from usage.classroom import announcements
from usage.client import CohortSpec
from usage.models import Membership, Person, Request
from usage.roster.parse import parse_roster

pytestmark = pytest.mark.browser

settings, no_endless_answers = test_routes.settings, test_routes.no_endless_answers
usage, grader = test_routes.usage, test_routes.grader

PAYLOADS = payloads()
NOT_PAGES = ("/api/", "/static/", "/oauth_callback", "/healthz", "/metrics", "/events")
FILES = ("/archive", "export.csv", ".{form}", ".csv")
VIEWERS = ("admin", "instructor", "trainee")


def poison_usage(service: Service) -> dict[str, str]:
    """Names, reasons, notes, announcements, rosters; what then stands in paths."""
    usage = service.app.state.usage
    now = datetime.now(UTC)
    dates = {"starts": now - timedelta(days=1), "ends": now + timedelta(days=1)}
    spec = {key: value.isoformat() for key, value in dates.items()}
    usage.put_cohort(
        CohortSpec(id="a", name=PAYLOADS[2], organisation=PAYLOADS[29], courses=["intro"], **spec)
    )
    for n, text in enumerate(PAYLOADS):
        usage.book("a", "grant", 1000, text[:200], text, f"payload-{n}")
        usage.note(text[:200], "cohort.export", "a", text[:200], text)
    usage.put_inventory(
        PAYLOADS[0], [Slot("g", "g", "g", PAYLOADS[0], "whole", PAYLOADS[2], 81559, 840)]
    )
    with usage.database.write() as session:
        for n, text in enumerate(PAYLOADS):
            name = f"p{n}" if n % 2 else text[:200]
            about = {"cohort_id": "a", "username": name}
            session.add(Person(username=name, email=text[:200], name=text))
            session.add(Membership(**about, role="trainee", code=None, created_at=now))
            session.add(
                Request(**about, id=f"req-{n}", lease_id=None, minutes=5, note=text, state="open",
                        created_at=now, decided_at=None, decided_by="")
            )  # fmt: skip
            if n % 6 == 0:
                announcements.say(session, "a", text, 1, text[:200], usage.clock)
    sheet = "email,username,name,role\n" + "".join(
        f'k{n}@example.kr,,"{text.replace(chr(34), chr(34) * 2)}",{"trainee"}\n'
        for n, text in enumerate(PAYLOADS)
        if text.isprintable()
    )
    roster = parse_roster(sheet.encode())
    preview = usage.preview_roster("a", roster, PAYLOADS[0], "admin")
    return {"import_id": preview.id}


def poison_grader(service: Service) -> None:
    """File names, comments, flags, and who did what."""
    database = service.app.state.desk.database
    with database.write() as session:
        submission = session.get(Submission, "sub-1")
        assert submission is not None
        submission.notebooks = ["n", *PAYLOADS]
        for score in session.query(Score):
            score.flags = [
                {"kind": text, "detail": text, "cell": text, "notebook": text} for text in PAYLOADS
            ]
        for release in session.query(Release):
            release.published_by = PAYLOADS[0]
        for n, text in enumerate(PAYLOADS):
            session.add(
                Mark(submission_id="sub-1", notebook="n", cell="c" if n % 2 else text, points=1,
                     comment=text, given_by=text, given_at=datetime.now(UTC))
            )  # fmt: skip


@dataclass
class Site:
    """Pages as `viewer` sees them; `hits` are calls that a script made."""

    url: str
    viewer: str = "admin"
    hits: list[str] = field(default_factory=list)
    shown: int = 0
    """Payloads that were in the pages, as text."""


CONTROL = "<!doctype html><title>control</title>" + "".join(PAYLOADS)


@pytest.fixture(scope="module")
def site(usage: Service, grader: Service) -> Iterator[Site]:
    usage.filled |= poison_usage(usage)
    poison_grader(grader)
    services = {"usage": usage, "grader": grader}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.startswith("/hit"):
                found.hits.append(f"{found.viewer}: {self.path}")
                return self.answer(200, b"", "text/plain")
            if path == "/control":
                return self.answer(200, CONTROL.encode(), "text/html; charset=utf-8")
            parts = path.split("/", 3)
            if len(parts) < 4 or parts[2] not in services:
                return self.answer(404, b"", "text/plain")
            at = self.path.removeprefix(f"/services/{parts[2]}")
            got = services[parts[2]].ask("GET", at, found.viewer)
            found.shown += got.content.count(b"/hit/")
            return self.answer(got.status_code, got.content, got.headers.get("content-type", ""))

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: `hits` has what matters."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found = Site(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def pages(service: Service) -> list[str]:
    """Addresses of every page, with the poisoned things in them."""
    filled = test_routes.FILLED | service.filled
    found = []
    for method, path in service.routes():
        if method != "GET" or path.startswith(NOT_PAGES) or path.endswith((*FILES, "/events")):
            continue
        whole = path
        for name, value in filled.items():
            whole = whole.replace(f"{{{name}}}", value)
        found.append(f"/services/{service.name}{whole}")
    return found


def visit(
    browser: Browser, site: Site, paths: list[str], awaited: list[str] | None = None
) -> dict[str, Any]:
    """Open each page; dialogs that opened, and those pages that were drawn.

    Stays on each for a moment, at most until something is `awaited`.
    """
    dialogs: list[str] = []
    drawn = []
    context = browser.new_context(base_url=site.url, locale="en-US")
    tab = context.new_page()
    tab.on("dialog", lambda dialog: (dialogs.append(f"{tab.url}: {dialog.message}"),
                                     dialog.dismiss()))  # fmt: skip
    for path in paths:
        try:
            answer = tab.goto(path, wait_until="load")
        except Error as error:
            if "net::ERR_ABORTED" in str(error) or "Download" in str(error):
                continue  # a file to keep, not a page
            raise
        tab.mouse.move(40, 40)
        tab.wait_for_timeout(120)
        until = time.monotonic() + 60
        while awaited == [] and time.monotonic() < until:
            tab.wait_for_timeout(200)
        if answer is not None and answer.ok:
            drawn.append(path)
    context.close()
    return {"dialogs": dialogs, "drawn": drawn}


@pytest.mark.parametrize("viewer", VIEWERS)
def test_no_stored_script_runs(
    viewer: str, site: Site, chromium: Browser, usage: Service, grader: Service
) -> None:
    site.viewer, site.shown = viewer, 0
    site.hits.clear()
    seen = visit(chromium, site, pages(usage) + pages(grader))
    ran = len(site.hits) + len(seen["dialogs"])
    what = f"{site.shown} payloads on {len(seen['drawn'])} pages of {viewer}"
    note(__name__, what, "none runs", f"{ran} ran")
    assert (seen["dialogs"], site.hits) == ([], [])
    assert site.shown > {"admin": 300, "instructor": 200, "trainee": 0}[viewer]


def test_the_same_scripts_run_where_nothing_escapes_them(site: Site, chromium: Browser) -> None:
    assert len(PAYLOADS) >= 50
    site.hits.clear()
    visit(chromium, site, ["/control"], site.hits)
    assert site.hits
    site.hits.clear()
