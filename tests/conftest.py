"""What tests in several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright

from cli import browser as chromium_program

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "dli", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("dli")

_QUIET = [
    # As root in a container there is no sandbox; the rest keeps Chromium from calling its maker.
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for a module; each person gets a context of their own.

    Not for the session: while Playwright runs, no other test can use an event loop.
    """
    found = chromium_program.find()
    assert found, "Chromium is missing; ./dli test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(found), args=_QUIET)
        yield browser
        browser.close()
