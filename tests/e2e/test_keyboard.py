"""Join, start, submit and go on without a GPU by keyboard alone; axe on what is ours in JupyterLab.

Once in each language, in JupyterLab's light and dark theme.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.units import units, weight_of
from tests.e2e import lab
from tests.e2e.conftest import Visitor
from tests.hub.web.browser import faults
from tests.platform import RunningPlatform

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(600)]

PASSWORD = "Every-Sunday-42"
MOST_STOPS = 120
"""A page with more stops before what one wants is no keyboard's page."""

WORDS = {
    "en": ("Assignments", "CPU lab"),
    "ko": ("과제 목록", "CPU 실습"),
}
THEMES = {"en": "JupyterLab Dark", "ko": "JupyterLab Light"}
HERE = "document.activeElement"

Visit = Callable[..., Visitor]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_by_keyboard_alone(platform: RunningPlatform, visit: Visit, language: str) -> None:
    publish(platform)
    learner = visit(f"key-{language}", language)
    axe = platform.settings.state_dir / "node" / "node_modules" / "axe-core" / "axe.min.js"
    page = join(learner, platform.event_code, axe)
    press(page, "form:has(input[value=intro-dl]):has(input[value=assessment]) button[value=yes]")
    lab.wait_open(page, learner.name)
    use_theme(page, learner, THEMES[language])
    submit(learner, WORDS[language])
    assert axe_on(page, axe, ".dli-Panel") == []
    learner.shot("lab-panel")
    run_short(platform, seconds=540)  # below the ten minutes at which a warning is due
    try:
        go_on_without_gpu(learner, axe)
        expect(lab.status(page)).to_contain_text(WORDS[language][1])
    finally:  # the journeys after this one spend from the same budget
        run_short(platform, seconds=7 * 36_000)


def publish(platform: RunningPlatform) -> None:
    """The assignment, as `./dli course publish` does."""
    from core import secrets
    from grader.client import GraderClient

    key = secrets.load(platform.settings.state_dir, "key-cli")
    grader = GraderClient(f"{platform.url}/services/grader", key)
    assert grader.wait(grader.publish("intro-dl", "digits"), 120).parked == 0
    grader.close()


def press(page: Page, selector: str, key: str = "Enter") -> None:
    """Walk with Tab until `selector` has the keyboard, then press `key`."""
    for _stop in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if page.evaluate(f"s => {HERE}.matches(s)", selector):
            page.keyboard.press(key)
            return
    raise AssertionError(f"{page.url}: Tab does not reach {selector} in {MOST_STOPS} stops")


def press_until(page: Page, selector: str, shown: str) -> None:
    """Press again while `shown` is not there: JupyterLab drops keys in its first moments."""
    for _try in range(5):
        press(page, selector)
        try:
            expect(page.locator(shown).first).to_be_visible(timeout=15_000)
            return
        except AssertionError:
            continue
    raise AssertionError(f"{page.url}: {selector} does not lead to {shown}")


def join(learner: Visitor, code: str, axe: Path) -> Page:
    """Fill in the form; the event code's field has the keyboard first."""
    page = learner.open(f"/hub/signup?code={code}")
    assert faults(page, axe) == []
    assert page.evaluate(f"{HERE}.id") == "code_input"
    for text in (learner.name, "김하나", f"{learner.name}@example.org", PASSWORD):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    press(page, "#password_confirmation_input", "End")
    page.keyboard.type(PASSWORD)
    press(page, "#consent-course", "Space")
    press(page, "#signup_submit")
    page.wait_for_url("**/services/usage/**")
    page.locator("[data-fragment][data-shown=yes]").nth(1).wait_for()
    assert faults(page, axe) == []
    return page


def use_theme(page: Page, learner: Visitor, theme: str) -> None:
    """As the settings menu does, and the page anew."""
    done = page.evaluate(
        """async ([user, theme]) => {
            const id = encodeURIComponent('@jupyterlab/apputils-extension:themes');
            const token = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? '';
            const answer = await fetch(`/user/${user}/lab/api/settings/${id}`, {
                method: 'PUT',
                headers: {'X-XSRFToken': token, 'Content-Type': 'application/json'},
                body: JSON.stringify({raw: JSON.stringify({theme})})
            });
            return answer.status;
        }""",
        [learner.name, theme],
    )
    assert done in (200, 204), done
    page.reload()
    lab.wait_open(page, learner.name)
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)


def submit(learner: Visitor, words: tuple[str, str]) -> None:
    """The launcher's card opens the panel, Tab finds Submit, Enter confirms.

    Not the command palette: JupyterLab's search in it finds no Hangul.
    """
    page = learner.page
    page.locator(".jp-LauncherCard").first.wait_for()
    press_until(page, f'.jp-LauncherCard[title="{words[0]}"]', ".dli-Assignment")
    press(page, ".dli-Panel .dli-Main")
    page.locator(".jp-Dialog").wait_for()
    page.keyboard.press("Enter")
    expect(page.locator(".dli-Receipt")).to_contain_text(re.compile("[0-9a-f]{64}"))
    page.keyboard.press("Enter")
    expect(page.locator(".dli-Versions li")).to_have_count(1)


def axe_on(page: Page, axe: Path, part: str) -> list[str]:
    """What axe finds in one part of JupyterLab: the rest is not ours to mend."""
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate("async part => (await axe.run(part)).violations", part)
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def run_short(platform: RunningPlatform, seconds: int) -> None:
    """Correct the budget so that a seventh of a GPU lasts `seconds` more."""
    amount = units(seconds * 1000, weight_of(1, 7)) - platform.usage.budget("demo").left
    key = f"keyboard-{time.time_ns()}"
    platform.usage.grant("demo", amount, "test", "journey", key, "correction")


def go_on_without_gpu(learner: Visitor, axe: Path) -> None:
    """The warning takes no focus; Alt+Shift+W goes to it, and the lab starts again by itself."""
    page = learner.page
    expect(lab.warning(page)).to_be_visible()
    assert not page.evaluate(f"Boolean({HERE}.closest('.dli-Warnings'))"), "typing goes on"
    assert axe_on(page, axe, ".dli-Warnings") == []
    learner.shot("lab-warning-banner")
    page.keyboard.press("Alt+Shift+W")
    assert page.evaluate(f"Boolean({HERE}.closest('.dli-Warnings'))")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".jp-Dialog").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/hub/spawn-pending/**", timeout=60_000)
    lab.wait_open(page, learner.name)
