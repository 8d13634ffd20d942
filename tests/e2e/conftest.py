"""Real Chromium against a real platform. Screenshots are kept in `artifacts/screenshots/`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page

from core.settings import ROOT
from tests.platform import RunningPlatform, running_platform

SCREENSHOTS = ROOT / "artifacts" / "screenshots"


@pytest.fixture(scope="package")
def platform() -> Iterator[RunningPlatform]:
    """A platform for all journeys."""
    # Short grants, so that a journey can see the end of a budget.
    usage = {"heartbeat_seconds": 1, "grant_seconds": 20, "warn_minutes": [30, 10, 0.5]}
    # Little room, so that a journey can see the end of that, too.
    room = {"max_submission_mb": 1, "learner_quota_mb": 1}
    with running_platform(usage=usage, grader=room) as up:
        yield up


class Visitor:
    """Somebody at a browser, in one language."""

    def __init__(self, context: BrowserContext, url: str, name: str, language: str) -> None:
        self.context, self.url, self.name, self.language = context, url, name, language
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)

    def open(self, path: str) -> Page:
        """Open a page of the platform."""
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, password: str) -> Page:
        """Sign in through the Hub's page; ends on the person's home."""
        page = self.open("/hub/login")
        page.fill("#username_input", self.name)
        page.fill("#password_input", password)
        page.click("#login_submit")
        page.wait_for_url("**/services/usage/**")
        return page

    def shot(self, title: str, page: Page | None = None) -> Path:
        """Keep a picture of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{title}.{self.language}.png"
        (page or self.page).screenshot(path=path, full_page=True)
        return path


@pytest.fixture
def visit(chromium: Browser, platform: RunningPlatform) -> Iterator[object]:
    """Makes a Visitor: ``visit("trainee", "ko")``, signed in when the demo knows the name."""
    visitors: list[Visitor] = []

    def make(name: str, language: str = "en", width: int = 1280, password: str = "") -> Visitor:
        locale = {"ko": "ko-KR", "en": "en-GB"}[language]
        context = chromium.new_context(
            locale=locale, viewport={"width": width, "height": 900}, timezone_id="Asia/Seoul"
        )
        visitor = Visitor(context, platform.url, name, language)
        visitors.append(visitor)
        secret = password or platform.passwords.get(name, "")
        if secret:
            visitor.sign_in(secret)
        return visitor

    yield make
    for visitor in visitors:
        with contextlib.suppress(Error):  # a picture of where a failed journey stood
            visitor.shot(f"last-{visitor.name}")
        visitor.context.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Show the platform's logs with a failed journey."""
    outcome: Any = yield
    report = outcome.get_result()
    platform = getattr(item, "funcargs", {}).get("platform")
    if report.when == "call" and report.failed and platform is not None:
        report.sections.append(("logs of the platform", platform.logs()))
