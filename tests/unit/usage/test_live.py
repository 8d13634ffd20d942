"""The home refreshes by itself in a real browser, also after the service was away for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, expect

from core.settings import Settings
from core.wire import GpuNeed, ReserveRequest
from tests.platform import _shared_node
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running, serving
from usage.client import CohortSpec
from usage.hub import Server

TURN_MS = 10_500
"""A little more than the pause between two looks."""


def _prepare(service: Running) -> str:
    """One GPU, held by bea; the id of her lease."""
    now, cli = datetime.now(UTC), service.client("key-cli")
    begin, end = ((now + timedelta(days=days)).isoformat() for days in (-1, 9))
    cli.create_cohort(CohortSpec("kt", "KT", "KT", begin, end, courses=["intro"]))
    cli.grant("kt", 2 * HOUR, "admin", "contract", "k1")
    for who in ("ann", "bea"):
        cli.enrol("kt", who)
    service.client("key-agent").put_inventory("h1", [slot(1)])
    ask = ReserveRequest("s", "bea", "kt", "intro", "first", GpuNeed())
    return service.client("key-hub").reserve(ask).id


def test_queue_budget_and_lab_change_without_a_reload(tmp_path: Path, chromium: Browser) -> None:
    (tmp_path / "node").symlink_to(_shared_node(Settings(state_dir=tmp_path)))
    with serving(tmp_path) as service:
        held = _prepare(service)
        page = chromium.new_page(locale="en-US")
        page.clock.install()
        page.goto(f"{service.url}/")
        page.get_by_role("button", name="Start First lab with GPU").click()
        live, purse = page.locator("#live"), page.locator("#purse-kt")
        expect(live).to_contain_text("You are number 1 of 1 in the queue.")

        service.client("key-hub").release(held, 0, "stopped")
        service.client("key-cli").grant("kt", HOUR, "admin", "more", "k2", "top-up")
        service.app.state.usage.tick()
        page.clock.run_for(TURN_MS)
        expect(live).to_contain_text("A GPU is held for you")
        expect(purse).to_contain_text("3 hr")

        page.route("**/live", lambda route: route.fulfill(status=502, body="bad gateway"))
        page.clock.run_for(TURN_MS)
        page.unroute("**/live")
        page.route("**/live", lambda route: route.abort())
        page.clock.run_for(TURN_MS)
        expect(live).to_contain_text("A GPU is held for you")
        page.unroute("**/live")
        options = {"course": "intro", "lab": "first", "gpu": "no"}
        service.hub.servers["ann"] = Server("ready", options, "/user/ann/")
        page.clock.run_for(TURN_MS)
        expect(page.locator("#running-lab")).to_contain_text("Open lab")
        page.close()
