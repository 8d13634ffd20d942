"""The home refreshes by itself in a real browser, also after the service was away for a while."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import httpx
import pytest
from playwright.sync_api import Browser, expect

from core.settings import Settings
from core.wire import GpuNeed, ReserveRequest
from tests.platform import shared_node, wait_for
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running, serving
from usage.client import CohortSpec
from usage.hub import Server
from usage.pulse import LOOK_SECONDS, Look, Pulse


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
    (tmp_path / "node").symlink_to(shared_node(Settings(state_dir=tmp_path)))
    with serving(tmp_path) as service:
        held = _prepare(service)
        page = chromium.new_page(locale="ko-KR")
        page.goto(f"{service.url}/")
        page.get_by_role("button", name="첫 실습: GPU로 시작").click()
        live, purse = page.locator("#live"), page.locator("#purse-kt")
        expect(live).to_contain_text("대기 순번은 1명 중 1번입니다")

        service.client("key-hub").release(held, 0, "stopped")
        service.client("key-cli").grant("kt", HOUR, "admin", "more", "k2", "top-up")
        service.app.state.usage.tick()
        expect(live).to_contain_text("맡아 두었습니다")
        expect(purse).to_contain_text("3시간")

        # The service goes away while something changes: the page catches up by itself.
        service.end()
        options = {"course": "intro", "lab": "first", "gpu": "no"}
        service.hub.servers["ann"] = Server("ready", options, "/user/ann/")
        service.begin()
        expect(page.locator("#running-lab")).to_contain_text("실습 열기")
        page.close()


def test_one_look_serves_three_hundred_homes_that_nothing_happens_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost of open homes: one look each time, however many are open, and no home anew."""
    looks = 0
    read = Pulse._read

    def counted(*given: object) -> Look:
        nonlocal looks
        looks += 1
        return read(*given)

    monkeypatch.setattr(Pulse, "_read", counted)
    with serving(tmp_path) as service:
        _prepare(service)
        homes = Homes(f"{service.url}/events", 300)
        thread = Thread(target=asyncio.run, args=(homes.watch(),))
        thread.start()
        try:
            wait_for("every home shown", lambda: homes.events == 300)
            before, began = looks, monotonic()
            sleep(2 * LOOK_SECONDS)
            made, passed = looks - before, monotonic() - began
        finally:
            homes.over = True
            thread.join(60)
    assert homes.events == 300, "each was sent its home once"
    assert 0 < made <= passed / LOOK_SECONDS + 1


@dataclass
class Homes:
    """Open homes: how many events they got together."""

    url: str
    count: int
    events: int = 0
    over: bool = False

    async def watch(self) -> None:
        limits = httpx.Limits(max_connections=self.count)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            tasks = [asyncio.create_task(self._one(client)) for _ in range(self.count)]
            while not self.over:
                await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", self.url) as answer:
            async for line in answer.aiter_lines():
                self.events += line.startswith("id:")
