"""Inside JupyterLab: a lab that somebody else stops says so once, and goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Response, expect

from tests.e2e import lab
from tests.e2e.cpu_lab import COURSE, PLAIN_LAB, Visit, in_lab, sign_up
from tests.platform import RunningPlatform

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(600)]


def test_a_lab_that_is_stopped_says_so_once_and_goes_on_when_it_runs_again(
    platform: RunningPlatform, visit: Visit
) -> None:
    person = sign_up(platform, "stopped-en", "en")
    learner = in_lab(person, "stopped-en", visit, "en")
    page = learner.page
    expect(lab.status(page)).to_contain_text("CPU lab")
    instructor = platform.sign_in("instructor")
    instructor.submit("/services/usage/classes/demo", {"username": "stopped-en"}, "/stop")
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Your lab was stopped", timeout=120_000)
    learner.shot("lab-stopped")
    dialog.get_by_role("button", name="Stay here").click()
    for _look in range(3):  # JupyterLab and our own poll meet the stopped lab again and again
        with page.expect_response(answered(424), timeout=120_000):
            pass
    expect(dialog).to_have_count(0)
    with page.expect_response(answered(200), timeout=180_000):
        person.start_lab(COURSE, PLAIN_LAB, gpu=False)
    expect(page.locator("#jp-main-dock-panel")).to_be_visible()
    expect(dialog).to_have_count(0)


def answered(status: int) -> Callable[[Response], bool]:
    """An answer of the person's lab, or of the Hub in its place, to this page."""
    return lambda response: "/dli-lab/status" in response.url and response.status == status
