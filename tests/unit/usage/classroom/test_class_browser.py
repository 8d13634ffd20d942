"""The class view in a real browser, and with three hundred learners."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import event

from core.settings import ROOT, Settings
from core.wire import GpuNeed, ReserveRequest
from tests.hub.web.browser import NARROW, WIDE, faults_in_every_look, page_in
from tests.platform import shared_node
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running, serving
from usage.classroom.coursework import Progress, Standing
from usage.client import CohortSpec
from usage.hub import Server

pytestmark = pytest.mark.browser

PEOPLE, WITH_GPU = 300, 60
SHOTS = ROOT / "artifacts" / "screenshots"
NAMES = ("김하나", "이두리", "박세찬", "최네온", "정다섯")
NOW = datetime.now(UTC)


def fill(service: Running, people: int, with_gpu: int) -> None:
    """A class in the middle of a lesson."""
    cli, usage = service.client("key-cli"), service.app.state.usage
    times = [(NOW + timedelta(days=days)).isoformat() for days in (-1, 9)]
    spec = CohortSpec("kt", "KT 2기", "KT", *times, courses=["intro"], allowance=9 * HOUR)
    cli.create_cohort(spec)
    cli.create_cohort(replace(spec, id="empty", name="KT 3기"))
    cli.enrol("empty", "ina", "instructor", name="이강사")
    cli.grant("kt", 500 * HOUR, "admin", "contract", "k1")
    cli.enrol("kt", "ina", "instructor", name="이강사")
    usage.put_inventory("h1", [slot(n, 120, "mig") for n in range(with_gpu)])
    for number in range(people):
        name = f"learner-{number:03}"
        usage.enrol("kt", name, "trainee", name=f"{NAMES[number % 5]} {number}")
        options = {"course": "intro", "lab": "first", "cohort": "kt", "gpu": "no"}
        if number < with_gpu:
            ask = ReserveRequest(f"s{number}", name, "kt", "intro", "first", GpuNeed())
            usage.activate(usage.reserve(ask).id, f"c{number}")
            options["gpu"] = "yes"
        if number % 7:
            last = NOW - timedelta(minutes=number % 40)
            service.hub.servers[name] = Server("ready", options, f"/user/{name}/", NOW, last)
    usage.ask_for_more("learner-001", 30, "longer training")
    work = {
        f"learner-{n:03}": {
            "digits": Standing(NOW, 1, f"sub-{n}", NOW, n % 9 == 0, "graded", n % 20, 20.0)
        }
        for n in range(0, people, 2)
    }

    async def progress(_course: str, _cohort: str) -> Progress:
        return Progress(["digits"], work)

    service.app.state.board.progress = progress


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("class")
    (folder / "node").symlink_to(shared_node(Settings(state_dir=folder)))
    with serving(folder) as running:
        fill(running, PEOPLE, WITH_GPU)
        running.sign_in("ina")
        yield running


def test_three_hundred_learners_in_few_questions(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for regular in ("tick", "warn"):  # the meter's own questions are not the page's
        monkeypatch.setattr(service.app.state.usage, regular, list)
    questions: list[str] = []
    engine = service.app.state.usage.database.engine

    def count(_c: object, _cursor: object, text: str, *_more: object) -> None:
        if text.lstrip().upper().startswith("SELECT"):
            questions.append(text)

    event.listen(engine, "before_cursor_execute", count)
    try:
        service.app.state.board.forget()
        page = httpx.get(f"{service.url}/classes/kt")
        assert page.status_code == 200
        assert page.text.count("<tr id=") == PEOPLE
    finally:
        event.remove(engine, "before_cursor_execute", count)
    # The meter asks as well meanwhile; a question for every learner would be there that often.
    often = max(Counter(questions).values())
    assert often < WITH_GPU / 2, Counter(questions).most_common(3)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_fault_in_either_theme_and_language(
    service: Running, chromium: Browser, language: str
) -> None:
    """Few rows, as axe looks at each; nobody needing help is the page's empty state."""
    axe = service.folder / "node" / "node_modules" / "axe-core" / "axe.min.js"
    with page_in(chromium, service.url, language=language) as page:
        page.goto(f"{service.url}/classes/kt?show=help")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert faults_in_every_look(page, axe) == []
        page.goto(f"{service.url}/classes/empty")
        expect(page.locator(".dli-empty")).to_be_visible()
        assert faults_in_every_look(page, axe, SHOTS / f"instructor-class-empty.{language}") == []
        page.goto(f"{service.url}/classes/kt")
        SHOTS.mkdir(parents=True, exist_ok=True)
        for size in (WIDE, NARROW):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            shot = SHOTS / f"instructor-class-{size[0]}.{language}.png"
            page.screenshot(path=shot, clip={"x": 0, "y": 0, "width": size[0], "height": 1600})


def test_the_class_changes_by_itself_also_after_a_restart(
    service: Running, chromium: Browser
) -> None:
    with page_in(chromium, service.url, language="en") as page:
        page.goto(f"{service.url}/classes/kt?show=off")
        row = page.locator("tbody tr", has_text="learner-070")
        expect(row).to_be_visible()
        options = {"course": "intro", "lab": "first", "cohort": "kt", "gpu": "no"}
        ready = Server("ready", options, "/user/x/", NOW, NOW)
        service.hub.servers["learner-070"] = ready
        expect(row).to_have_count(0)
        service.end()
        del service.hub.servers["learner-070"]
        service.begin()
        expect(row).to_be_visible(timeout=25_000)


def test_an_announcement_by_keyboard(service: Running, chromium: Browser) -> None:
    with page_in(chromium, service.url, language="en") as page:
        page.goto(f"{service.url}/classes/kt?show=help")
        for _press in itertools.repeat(None, 30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.parentElement.id") == "announce":
                break
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.type("We go on at 14:00")
        for _press in range(2):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Your announcement is on its way")).to_be_visible()
        page.locator("summary", has_text="Sent so far").press("Enter")
        expect(page.get_by_text("We go on at 14:00")).to_be_visible()
