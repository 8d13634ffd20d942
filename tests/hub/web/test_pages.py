"""The pages as a person meets them: language, theme, narrow screens, accessibility, waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.settings import ROOT
from tests.hub.web.browser import NARROW, faults_in_every_look, page_in, sign_in
from tests.hub.web.conftest import PASSWORD, HubSite

pytestmark = pytest.mark.browser

OPEN_PAGES = {
    "login": "/hub/login",
    "signup": "/hub/signup?code=AB-12",
    "unknown": "/hub/no-such-page",
}
OWN_PAGES = {
    "service": "/services/usage/",
    "service-unknown": "/services/usage/no-such-page",
    "account": "/hub/home",
    "change-password": "/hub/change-password",
    "not-running": "/hub/user/{name}/lab",
}
SHOTS = ROOT / "artifacts" / "screenshots"


@pytest.fixture
def axe(site: HubSite) -> Path:
    """The accessibility checker."""
    return site.settings.state_dir / "node" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def simulated(site: HubSite) -> Iterator[str]:
    """The platform says that its GPUs are simulated."""
    file = site.settings.state_dir / "run" / "simulated-gpu"
    file.write_text("2x NVIDIA H100 80GB, MIG 7\n")
    yield "2x NVIDIA H100 80GB, MIG 7"
    file.unlink()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_page_is_accessible_and_fits(
    site: HubSite, chromium: Browser, axe: Path, simulated: str, language: str
) -> None:
    """In both themes, wide and narrow."""
    name = "boss" if language == "en" else "minsu"
    found: list[str] = []

    def check(page: Page, title: str) -> None:
        assert page.get_attribute("html", "lang") == language
        assert simulated in page.inner_text(".dli-simulated")
        found.extend(faults_in_every_look(page, axe, SHOTS / f"hub-{title}-{language}"))

    with page_in(chromium, site.url, language=language) as page:
        for title, path in OPEN_PAGES.items():
            page.goto(path)
            check(page, title)
        wrong_password(page, name)
        check(page, "login-wrong")
        sign_in(page, name, PASSWORD)
        for title, path in OWN_PAGES.items():
            page.goto(path.format(name=name))
            page.wait_for_load_state("networkidle")
            check(page, title)
        if language == "ko":
            assert page.goto("/hub/admin").status == 403  # type: ignore[union-attr]
            check(page, "forbidden")
    assert found == []


def wrong_password(page: Page, name: str) -> None:
    """A sign-in that fails."""
    page.goto("/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", "wrong")
    page.click("#login_submit")
    page.locator(".login_error").wait_for()


def test_choosing_a_language_holds_on_every_page(site: HubSite, chromium: Browser) -> None:
    with page_in(chromium, site.url, language="ko") as page:
        page.goto("/hub/login")
        expect(page.locator("h1")).to_have_text("로그인")
        page.click("[data-language=en]")
        expect(page.locator("h1")).to_have_text("Sign in")
        sign_in(page, "reader", PASSWORD)
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page.locator(".dli-stats")).to_contain_text("3 hr 20 min")
        page.goto("/services/usage/?a=1")
        page.click("button[name=language][value=ko]")
        page.wait_for_url("**/services/usage/?a=1")
        expect(page.locator("html")).to_have_attribute("lang", "ko")
        expect(page.locator(".dli-stats")).to_contain_text("3시간 20분")
        page.goto("/hub/home")
        expect(page.locator("h1")).to_have_text("계정")


def test_a_wrong_password_is_said_in_the_readers_language(site: HubSite, chromium: Browser) -> None:
    with page_in(chromium, site.url, language="ko") as page:
        page.goto("/hub/login")
        page.fill("#username_input", "minsu")
        page.fill("#password_input", "wrong")
        page.click("#login_submit")
        expect(page.locator(".login_error")).to_have_text(
            "사용자 이름 또는 비밀번호가 올바르지 않습니다."
        )
        page.click("[data-reveal]")
        expect(page.locator("#password_input")).to_have_attribute("type", "text")


def test_sign_up_shows_a_mistake_at_its_field_and_then_works(
    site: HubSite, chromium: Browser, axe: Path
) -> None:
    with page_in(chromium, site.url, language="ko", size=NARROW) as page:
        page.goto("/hub/signup?code=TEST-CODE")
        assert page.input_value("#code_input") == "TEST-CODE"
        page.fill("#username_input", "newcomer")
        page.fill("#name_input", "김민지")
        page.fill("#email_input", "minji@example.com")
        page.fill("#password_input", "test-password-1")
        page.fill("#password_confirmation_input", "something-else")
        page.check("#consent-course")
        page.click("#signup_submit")
        expect(page.locator("#password_confirmation_input-hint")).to_have_text(
            "두 비밀번호가 서로 다릅니다."
        )
        assert page.input_value("#name_input") == "김민지"
        assert page.is_checked("#consent-course")
        assert not page.is_checked("#consent-news"), "an optional item is never ticked for somebody"
        assert faults_in_every_look(page, axe, SHOTS / "hub-signup-wrong-ko") == []
        page.fill("#password_input", "test-password-1")
        page.fill("#password_confirmation_input", "test-password-1")
        page.click("#signup_submit")
        page.wait_for_url("**/services/usage/courses/intro")


def _start(page: Page, name: str) -> None:
    """Ask the Hub for a lab, as the usage service does, and open its pending page."""
    status = page.evaluate(
        """async (name) => (await fetch(
            `/hub/api/users/${name}/server?_xsrf=${window.jhdata.xsrf_token}`, {method: "POST"}
        )).status""",
        name,
    )
    assert status in (201, 202)
    page.goto(f"/hub/spawn-pending/{name}")


def test_the_waiting_page_opens_the_lab(site: HubSite, chromium: Browser, axe: Path) -> None:
    with page_in(chromium, site.url, language="ko", size=NARROW) as page:
        sign_in(page, "slow", PASSWORD)
        page.goto("/hub/home")
        _start(page, "slow")
        expect(page.locator("h1")).to_have_text("실습을 시작하고 있습니다")
        expect(page.locator("#progress-message")).to_have_text(
            re.compile("실습 (시작을 요청했습니다|환경을 준비하고 있습니다)")
        )
        assert faults_in_every_look(page, axe) == []
        # A start that ended in this moment, or a Hub that is away, refuses the page its stream.
        page.route(re.compile("/server/progress"), lambda route: route.fulfill(status=400))
        page.reload()
        (site.settings.state_dir / "go-on").touch()
        page.wait_for_url("**/user/slow/**", timeout=120_000)
        expect(page.locator("body")).to_contain_text("a small lab")
        page.goto("/hub/home")
        expect(page.locator("#start")).to_have_text("실습 열기")
        page.evaluate("window.setTimeout = () => 0")  # which leaves the page a moment later
        page.click("#stop-server-btn")
        expect(page.locator("#stop-server-status")).to_contain_text("종료하고 있습니다")


def test_a_refused_start_says_why(site: HubSite, chromium: Browser, axe: Path) -> None:
    with page_in(chromium, site.url, language="ko") as page:
        sign_in(page, "refused", PASSWORD)
        page.goto("/hub/home")
        _start(page, "refused")
        expect(page.locator("#dli-failure")).to_contain_text("오늘은 남은 GPU 시간이 없습니다.")
        assert faults_in_every_look(page, axe) == []
        page.click("#start")
        page.wait_for_url("**/services/usage/")


def test_forms_and_htmx_carry_the_pages_token(site: HubSite, chromium: Browser) -> None:
    with page_in(chromium, site.url, language="en") as page:
        sign_in(page, "writer", PASSWORD)
        page.fill("#text", "by form")
        page.click("text=Keep")
        expect(page.locator("#note")).to_have_text("by form")
        page.click("#over-htmx")
        expect(page.locator("#note")).to_have_text("by htmx")
        page.goto("/services/usage/")
        page.context.clear_cookies(name="dli-usage-session")
        page.context.clear_cookies(name="jupyterhub-hub-login")
        page.click("#over-htmx")
        page.wait_for_url("**/hub/login**")


def test_charts_are_drawn_and_readable_as_tables(site: HubSite, chromium: Browser) -> None:
    with page_in(chromium, site.url, language="en") as page:
        sign_in(page, "viewer", PASSWORD)
        expect(page.locator("#use canvas")).to_be_visible()
        page.click("#use summary")
        expect(page.locator("#use-table tbody tr")).to_have_count(4)
        expect(page.locator("#use-table")).to_contain_text("4.5")


def test_jupyterhubs_own_pages_still_work_in_our_layout(site: HubSite, chromium: Browser) -> None:
    with page_in(chromium, site.url, language="en") as page:
        sign_in(page, "boss", PASSWORD)
        page.goto("/hub/admin")
        expect(page.locator("#react-admin-hook table").first).to_be_visible()
        page.goto("/hub/token")
        page.fill("#token-note", "for a script")
        page.click("text=Request new API token")
        expect(page.locator("#token-result")).not_to_be_empty()
