"""A real Chromium for pages: themes, widths, languages, and axe-core's opinion of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page

WIDE, NARROW = (1280, 900), (390, 844)
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, Theme] = ("light", "dark")

# All rules run; what passed is neither described nor sent here, which took most of the time.
_VIOLATIONS = """async () =>
    (await axe.run(document, { resultTypes: ["violations"] })).violations"""


@contextmanager
def page_in(
    browser: Browser,
    url: str,
    *,
    language: str = "ko",
    theme: Theme = "light",
    size: tuple[int, int] = WIDE,
    state: Any = None,
) -> Iterator[Page]:
    """A page of a fresh browser context; afterwards it must not have met a script error."""
    context = browser.new_context(
        base_url=url,
        locale="ko-KR" if language == "ko" else "en-US",
        color_scheme=theme,
        viewport={"width": size[0], "height": size[1]},
        storage_state=state,
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    page.on(
        "console",
        lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None,
    )
    try:
        yield page
        # A live part whose service restarts says so each time that it tries again.
        known = ("Failed to load resource", "htmx:sse:error: Failed to fetch")
        unexpected = [p for p in problems if not any(one in p for one in known)]
        assert not unexpected, f"{page.url}: {unexpected}"
    finally:
        context.close()


def sign_in(page: Page, name: str, password: str) -> None:
    """Type name and password on the Hub's sign-in page."""
    page.goto("/hub/login?next=%2Fservices%2Fusage%2F")
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url("**/services/usage/")


def faults(page: Page, axe: Path) -> list[str]:
    """What axe-core finds wrong (WCAG 2.1 A and AA, best practices), and sideways scrolling."""
    # The page's own policy forbids inline scripts; evaluate is the debugger's way in.
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe.read_text(encoding="utf-8"))
    violations = page.evaluate(_VIOLATIONS)
    found = [
        f"{page.url}: {item['id']}: {item['help']}: {node['html'][:160]} "
        f"({'; '.join(check['message'] for check in node['any'][:1])})"
        for item in violations
        for node in item["nodes"]
    ]
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if width[0] > width[1]:
        found.append(f"{page.url}: scrolls sideways: {width[0]} px in a window of {width[1]}")
    return found


def faults_in_every_look(page: Page, axe: Path, shot: Path | None = None) -> list[str]:
    """`faults` of one loaded page: light and dark, wide and narrow, ending as it was.

    `shot`: where to keep two pictures, as ``<shot>-1280-light.png`` and ``<shot>-390-dark.png``.
    """
    found: list[str] = []
    before = page.viewport_size
    dark_before = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for size in (WIDE, NARROW):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for theme in THEMES:
            _use_theme(page, theme)
            found += [f"{theme}, {size[0]} px: {fault}" for fault in faults(page, axe)]
            if shot and (size, theme) in ((WIDE, "light"), (NARROW, "dark")):
                shot.parent.mkdir(parents=True, exist_ok=True)
                path = shot.with_name(f"{shot.name}-{size[0]}-{theme}.png")
                page.screenshot(path=path, full_page=True)
    _use_theme(page, "dark" if dark_before else "light")
    if before:
        page.set_viewport_size(before)
    return found


def _use_theme(page: Page, theme: Theme) -> None:
    """As the system's setting does; without motion, so that no colour is on its way."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.wait_for_function("theme => document.documentElement.dataset.bsTheme === theme", arg=theme)
