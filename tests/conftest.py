"""What tests in several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import hypothesis
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from cli import browser as chromium_program

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "dli", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("dli")

# The same goes for five seconds, after which httpx and Playwright's `expect` would give up.
PATIENCE_S = 90
expect.set_options(timeout=PATIENCE_S * 1000)
for _wait in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _wait, PATIENCE_S)

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
        browser = playwright.chromium.launch(
            executable_path=str(found), args=_QUIET, timeout=PATIENCE_S * 1000
        )
        yield browser
        browser.close()
