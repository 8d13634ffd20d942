"""Administration in a real browser: every page, in both languages, themes and widths, and an
admin's weeks from a new cohort to an erased person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pypdf
import pytest
from playwright.sync_api import Browser, Page, expect

from core.settings import ROOT, Settings
from tests.hub.web.browser import NARROW, WIDE, faults, page_in
from tests.platform import shared_node
from tests.unit.usage.admin_data import fill
from tests.unit.usage.server import Running, serving
from usage.classroom.coursework import Coursework

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SHOTS = ROOT / "artifacts" / "screenshots"
PATIENT_MS = 60_000


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


LOOKS = {
    "ko": (("light", WIDE), ("dark", NARROW)),
    "en": (("light", NARROW), ("dark", WIDE)),
}
"""Both themes and both widths in each language; all four pairs between the two."""


def look(page: Page, name: str, axe: Path, language: str) -> list[str]:
    """Faults of a page in both themes and widths; what hides behind a summary is shown as well."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = []
    for theme, size in LOOKS[language]:
        # Without motion: else colours are still on their way from the other theme.
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": size[0], "height": size[1]})
        expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
        found += [f"{theme} {size[0]}: {fault}" for fault in faults(page, axe)]
        file = SHOTS / f"admin-{name}-{language}-{theme}.png"
        page.screenshot(path=str(file), full_page=True)
    return found


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_page_is_without_fault(
    service: Running, pages: dict[str, str], chromium: Browser, axe: Path, language: str
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    found = []
    with page_in(chromium, service.url, language=language) as page:
        for name, path in pages.items():
            answer = page.goto(service.url + path)
            assert answer is not None
            assert answer.status == 200, path
            found += look(page, name, axe, language)
        page.goto(service.url + pages["settings"])
        page.fill("#windows-starts", "2026-12-02T09:00")
        page.fill("#windows-ends", "2026-12-01T09:00")
        page.fill("#windows-seats", "1")
        page.locator("#windows-seats").press("Enter")
        expect(page.locator("#windows-ends")).to_be_focused()
        expect(page.locator("#windows-starts")).to_have_value("2026-12-02T09:00")
        expect(page.locator("#windows-ends-error")).to_be_in_viewport()
        found += look(page, "mistake", axe, language)
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
        expect(page.locator("#machines")).not_to_contain_text("Disabled")
        half = page.get_by_label("Why slot-3 changes")
        half.press_sequentially("the fan is")
        service.app.state.usage.set_slot_mode("slot-3", "disabled", "root")
        try:
            expect(page.locator("#machines")).to_contain_text("Disabled", timeout=PATIENT_MS)
            expect(half).to_have_value("the fan is")
            expect(half).to_be_focused()
        finally:
            service.app.state.usage.set_slot_mode("slot-3", "open", "root")


WORDS = {
    "ko": ("이메일 주소가 아닙니다", "저장했습니다", "완료"),
    "en": ("is not an e-mail address", "Saved.", "Done"),
}
ROSTER = (
    "이메일,이름,역할,동아리\ndana@kt.com,다나,교육생,밴드\nbroken,고장,,\ndana@kt.com,다나,,\n"
)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_admins_weeks(
    service: Running,
    pages: dict[str, str],
    chromium: Browser,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    language: str,
) -> None:
    _play_grader(monkeypatch)
    cohort, person = f"winter-{language}", f"dana-{language}"
    bad_row, saved, done = WORDS[language]
    base = f"{service.url}/admin/cohorts/{cohort}"
    with page_in(chromium, service.url, language=language) as page:
        page.set_default_timeout(PATIENT_MS)
        _create(page, service, cohort)
        page.goto(f"{base}/roster")
        page.set_input_files(
            "#roster-roster",
            {"name": "명단.csv", "mimeType": "text/csv", "buffer": ROSTER.encode("cp949")},
        )
        page.locator("main form button[type=submit]").click()
        expect(page.locator("main")).to_contain_text(bad_row)
        expect(page.locator("main")).to_contain_text("동아리")
        page.locator("main form button[type=submit]").click()
        expect(page.locator("main")).to_contain_text("dana@kt.com")
        expect(page.locator("main")).not_to_contain_text("broken")

        _fill(page, "codes", code=f"{cohort}-code", seats="30")
        expect(page.locator("#codes")).to_contain_text(saved)
        _fill(page, "member", username=person, name="다나")
        expect(page.locator("#member")).to_contain_text(saved)
        page.goto(f"{base}/codes/{cohort.upper()}-CODE/sheet")
        expect(page.locator(".dli-sheet-qr svg")).to_be_visible()
        sheet = tmp_path / "sheet.pdf"
        page.pdf(path=str(sheet), format="A4", print_background=True)
        printed = pypdf.PdfReader(sheet)
        assert len(printed.pages) == 1
        assert f"{cohort.upper()}-CODE" in printed.pages[0].extract_text()

        page.goto(base)
        _fill(page, "book", hours="12.5", reason="추가 계약 2026-12")
        expect(page.locator("#book")).to_contain_text(saved)
        expect(page.locator("main")).to_contain_text("추가 계약 2026-12")
        page.goto(f"{base}/settings")
        begin = datetime.now(UTC) + timedelta(days=3)
        times = {"starts": begin, "ends": begin + timedelta(hours=4)}
        at = {name: time.strftime("%Y-%m-%dT%H:%M") for name, time in times.items()}
        _fill(page, "windows", **at, seats="1")
        expect(page.locator("#windows")).to_contain_text(saved)

        page.goto(f"{service.url}/admin/machines")
        _mode(page, "slot-3", "drained")
        _mode(page, "slot-3", "open")
        expect(page.locator(_button("slot-3", "drained"))).to_be_visible()
        _reports(page, service, cohort)
        _audit(page, service, cohort)
        _erase(page, service, person, done)
    assert person in service.hub.deleted


def _create(page: Page, service: Running, cohort: str) -> None:
    page.goto(f"{service.url}/admin/new-cohort")
    now = datetime.now(UTC)
    for name, value in {
        "name": f"겨울 {cohort}",
        "id": cohort,
        "organisation": "KT",
        "starts": (now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M"),
        "ends": (now + timedelta(days=20)).strftime("%Y-%m-%dT%H:%M"),
        "timezone": "Asia/Seoul",
        "grant_hours": "20",
    }.items():
        page.fill(f"[name={name}]", value)
    page.check("[name=courses]")
    page.locator("[name=grant_hours]").press("Enter")
    page.wait_for_url(f"**/admin/cohorts/{cohort}")


def _fill(page: Page, form: str, **values: str) -> None:
    """Fill in a form of the page, which may stand behind a summary, and send it by Enter."""
    folded = page.locator(f"details:has(#{form}-{next(iter(values))})")
    if folded.count():
        folded.evaluate("(one) => { one.open = true; }")
    for name, value in values.items():
        page.fill(f"#{form}-{name}", value)
    page.locator(f"#{form}-{next(iter(values))}").press("Enter")
    page.wait_for_url(f"**done={form}*")


def _button(slot: str, mode: str) -> str:
    return f"form:has(input[value='{slot}']) button[value='{mode}']"


def _mode(page: Page, slot: str, mode: str) -> None:
    page.fill(f"form:has(input[value='{slot}']) input[name='reason']", "the fan is loud")
    page.click(_button(slot, mode))
    expect(page.locator(_button(slot, mode))).to_have_count(0)


def _reports(page: Page, service: Running, cohort: str) -> None:
    page.goto(f"{service.url}/admin/reports")
    with page.expect_download() as table:
        page.click("a[href*='/reports/cohort.csv']")
    assert f"겨울 {cohort}" in table.value.path().read_text(encoding="utf-8-sig")
    with page.expect_download() as paper:
        page.click("a[href*='/reports/cohort.pdf']")
    text = "".join(one.extract_text() for one in pypdf.PdfReader(paper.value.path()).pages)
    assert f"겨울 {cohort}" in text


def _audit(page: Page, service: Running, cohort: str) -> None:
    page.goto(f"{service.url}/admin/audit")
    page.select_option("#a-scope", cohort)
    page.locator("#a-scope").locator("xpath=ancestor::form").locator("button").click()
    page.wait_for_url("**scope=*")
    rows = page.locator("main tbody tr")
    # created, first grant, roster, code, member, list read, top-up, window
    assert rows.count() >= 8, rows.all_text_contents()
    expect(page.locator("main table")).to_contain_text("추가 계약 2026-12")
    expect(page.locator("main table")).to_contain_text(f"{cohort.upper()}-CODE")


def _erase(page: Page, service: Running, person: str, done: str) -> None:
    page.goto(f"{service.url}/admin/people")
    page.fill("#look-username", person)
    page.locator("#look-username").press("Enter")
    with page.expect_download() as everything:
        page.click("a[href$='data.zip']")
    assert everything.value.path().read_bytes().startswith(b"PK")
    page.locator("summary").last.press("Enter")
    page.fill("#erase-reason", "본인 요청")
    page.fill("#erase-again", person)
    page.locator("#erase-again").press("Enter")
    page.wait_for_url("**done=erase*")
    row = page.locator("main tbody tr", has_text="본인 요청").first

    def finished() -> bool:
        page.reload()
        return done in (row.text_content() or "") and person not in (row.text_content() or "")

    for _ in range(120):
        if finished():
            break
        page.wait_for_timeout(500)
    assert finished(), row.text_content()
    page.goto(f"{service.url}/admin/people?username={person}")
    expect(page.locator("#look-username-error")).to_be_visible()


def _play_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coursework service's part: a person has no work there."""

    async def export(_self: Coursework, _username: str, out: IO[bytes]) -> None:
        out.write(b"PK")

    async def erase(_self: Coursework, _username: str, _pseudonym: str, _actor: str) -> None:
        return None

    async def completions(_self: Coursework) -> dict[str, int]:
        return {}

    monkeypatch.setattr(Coursework, "export", export)
    monkeypatch.setattr(Coursework, "erase", erase)
    monkeypatch.setattr(Coursework, "completions", completions)
