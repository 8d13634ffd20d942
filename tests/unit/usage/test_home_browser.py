"""A trainee's pages in every look and both languages: home, course, running lab, own data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser

from core.settings import ROOT, Settings
from core.wire import GpuNeed, ReserveRequest
from tests.hub.web.browser import faults_in_every_look, page_in
from tests.platform import shared_node
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running, serving
from usage.client import CohortSpec
from usage.hub import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHOTS = ROOT / "artifacts" / "screenshots"
WANTED = "course=intro&lab=first&cohort=kt"
PATHS = {
    "home": "/",
    "course": "/courses/intro",
    "my-data": "/my-data",
    "continue": f"/continue?{WANTED}",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Ann has a GPU lab, Bea waits for one, Eve has no course."""
    folder = tmp_path_factory.mktemp("usage")
    (folder / "node").symlink_to(shared_node(Settings(state_dir=folder)))
    now = datetime.now(UTC)
    with serving(folder) as running:
        cli, hub = running.client("key-cli"), running.client("key-hub")
        begin, end = (now - timedelta(days=3)).isoformat(), (now + timedelta(days=9)).isoformat()
        cli.create_cohort(CohortSpec("kt", "KT 2기", "KT", begin, end, courses=["intro"]))
        cli.grant("kt", 2 * HOUR, "admin", "contract", "k1")
        for who in ("ann", "bea"):
            cli.enrol("kt", who)
        running.client("key-agent").put_inventory("h1", [slot(1)])
        lease = hub.reserve(ReserveRequest("s1", "ann", "kt", "intro", "first", GpuNeed(), "ko"))
        hub.activate(lease.id, "c1")
        options = {"course": "intro", "lab": "first", "cohort": "kt", "gpu": "yes"}
        running.hub.servers["ann"] = Server("ready", options, "/user/ann/")
        running.sign_in("bea")
        assert running.send("/start", **options).status_code == 303
        yield running


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_fault_on_any_page(service: Running, chromium: Browser, language: str) -> None:
    axe = service.folder / "node" / "node_modules" / "axe-core" / "axe.min.js"
    found: list[str] = []
    with page_in(chromium, service.url, language=language) as page:
        for who, paths in {"ann": PATHS, "bea": {"home": "/"}, "eve": {"home": "/"}}.items():
            service.sign_in(who)
            for title, path in paths.items():
                page.goto(service.url + path)
                page.wait_for_load_state("load")
                shot = SHOTS / f"trainee-{title}-{who}-{language}"
                found += faults_in_every_look(page, axe, shot)
    assert found == []
