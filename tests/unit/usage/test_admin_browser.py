"""Every page of administration in a real browser: axe, both themes, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from core.settings import ROOT, Settings
from tests.hub.web.browser import NARROW, WIDE, faults, page_in
from tests.platform import shared_node
from tests.unit.usage.admin_data import fill
from tests.unit.usage.server import Running, serving

pytestmark = pytest.mark.browser

SHOTS = ROOT / "artifacts" / "screenshots"
LOOKS = (("ko", "light", WIDE), ("en", "dark", NARROW))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("usage")
    (folder / "node").symlink_to(shared_node(Settings(state_dir=folder)))
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def pages(service: Running) -> dict[str, str]:
    return fill(service)


@pytest.fixture(scope="module")
def axe(service: Running) -> Path:
    return service.folder / "node" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.parametrize(("language", "theme", "size"), LOOKS)
def test_every_page_is_without_fault(
    service: Running,
    pages: dict[str, str],
    chromium: Browser,
    axe: Path,
    language: str,
    theme: str,
    size: tuple[int, int],
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    found = []
    with page_in(chromium, service.url, language=language, theme=theme, size=size) as page:
        for name, path in pages.items():
            answer = page.goto(service.url + path)
            assert answer is not None
            assert answer.status == 200, path
            found += faults(page, axe)
            page.screenshot(
                path=str(SHOTS / f"admin-{name}-{language}-{theme}.png"), full_page=True
            )
    assert found == []


def test_a_chart_with_a_forecast_and_its_table(
    service: Running, pages: dict[str, str], chromium: Browser
) -> None:
    with page_in(chromium, service.url, language="en") as page:
        page.goto(service.url + pages["budget"])
        expect(page.locator("#burn .uplot canvas")).to_be_visible()
        expect(page.locator("#forecast")).to_contain_text("At this pace the GPU time lasts")
        page.get_by_text("Show as a table").click()
        expect(page.locator("#burn-table tbody tr").last).to_contain_text("–")


def test_a_roster_by_keyboard(service: Running, pages: dict[str, str], chromium: Browser) -> None:
    with page_in(chromium, service.url, language="en") as page:
        page.goto(service.url + pages["people"])
        page.get_by_role("link", name="Import a roster").press("Enter")
        file = page.get_by_label("CSV file")
        data = "email,name\nkeys@kt.com,키보드\n".encode()
        file.set_input_files({"name": "keys.csv", "mimeType": "text/csv", "buffer": data})
        file.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Do this for 1 person").press("Enter")
        expect(page.get_by_role("region", name="Expected")).to_contain_text("keys@kt.com")


def test_machines_change_without_a_reload(
    service: Running, pages: dict[str, str], chromium: Browser
) -> None:
    with page_in(chromium, service.url, language="en") as page:
        page.goto(service.url + pages["machines"])
        expect(page.locator("#machines")).not_to_contain_text("Faulty")
        service.app.state.usage.set_slot_mode("GPU-1", "disabled", "root")
        expect(page.locator("#machines")).to_contain_text("Disabled")
