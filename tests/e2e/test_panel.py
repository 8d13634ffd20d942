"""Inside JupyterLab: the assignments panel, from fetching to restoring."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from core import secrets
from grader.client import GraderClient
from tests.e2e.conftest import Visitor
from tests.e2e.cpu_lab import COURSE, Visit, in_lab, sign_up
from tests.people import Person
from tests.platform import RunningPlatform

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(600)]

ASSIGNMENT = "digits"


@pytest.fixture
def grader(platform: RunningPlatform) -> Iterator[GraderClient]:
    """The grader as `./dli course publish` and `./dli grade` call it; the assignment is out."""
    key = secrets.load(platform.settings.state_dir, "key-cli")
    client = GraderClient(f"{platform.url}/services/grader", key)
    assert client.wait(client.publish(COURSE, ASSIGNMENT), 120).parked == 0
    yield client
    client.close()


def test_fetch_validate_submit_feedback_and_restore(
    platform: RunningPlatform, visit: Visit, grader: GraderClient
) -> None:
    person, learner = at_panel(platform, visit, "panel-ko")
    page = learner.page
    section = page.locator(".dli-Assignment").filter(has_text="내려받기")
    section.get_by_role("button", name=re.compile("내려받기")).click()
    press(page, "검사")
    expect(page.locator(".dli-Said")).to_have_text(
        "통과하지 못한 테스트가 있습니다.", timeout=120_000
    )
    expect(page.locator(".dli-Results")).to_contain_text(re.compile(r"고칠 셀이 \d+개"))
    submit(page)
    grade(grader, "panel-ko")
    put(person, "panel-ko", "later.txt", "written after the submission")
    page.get_by_role("button", name="새로 고침").click()
    expect(page.locator(".dli-Score")).to_contain_text("20점 만점에", timeout=30_000)
    learner.shot("lab-panel-graded")
    read_feedback(learner)
    restore(page)
    learner.shot("lab-panel-restored")
    there = person.lab("panel-ko", f"api/contents/{COURSE}").json()["content"]
    kept = [one["name"] for one in there if one["name"].startswith(f"{ASSIGNMENT}-")]
    assert len(kept) == 1, "what was in the folder is kept beside it"
    assert "later.txt" in names(person, "panel-ko", kept[0])
    assert "later.txt" not in names(person, "panel-ko", ASSIGNMENT)
    assert "digits.ipynb" in names(person, "panel-ko", ASSIGNMENT)


def test_a_refused_submission_says_what_to_do(
    platform: RunningPlatform, visit: Visit, grader: GraderClient
) -> None:
    person, learner = at_panel(platform, visit, "refused-ko")
    page = learner.page
    press(page, "내려받기")
    expect(page.locator(".dli-Assignment").get_by_role("button", name="제출")).to_be_visible(
        timeout=60_000
    )
    put(person, "refused-ko", "data.csv", "7" * 700_000)
    submit(page)
    refused(learner, "1 MB 가운데 0.3 MB만 남아 있습니다. 데이터와 모델 파일을 빼고", "quota")
    put(person, "refused-ko", "data.csv", "7" * 1_100_000)
    refused(learner, "제출물이 1 MB보다 큽니다. 데이터와 모델 파일을 지우고", "size")
    put(person, "refused-ko", "data.csv", "7")
    press(page, "제출")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(page.locator(".dli-Receipt")).to_be_visible(timeout=60_000)


def at_panel(platform: RunningPlatform, visit: Visit, name: str) -> tuple[Person, Visitor]:
    """Somebody new, in Korean, with the assignments panel open."""
    person = sign_up(platform, name, "ko")
    learner = in_lab(person, name, visit, "ko")
    learner.page.locator('.jp-LauncherCard[title="과제 목록"]').click()
    return person, learner


def refused(learner: Visitor, sentence: str, why: str) -> None:
    """Submit; a dialog says why not, and nothing is listed as handed in."""
    page = learner.page
    before = page.locator(".dli-Versions li").count()
    press(page, "제출")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    dialog = page.locator(".jp-Dialog").filter(has_text="제출하지 못했습니다")
    expect(dialog).to_contain_text(sentence, timeout=60_000)
    learner.shot(f"lab-refused-{why}")
    dialog.locator(".jp-mod-accept").click()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    expect(page.locator(".dli-Versions li")).to_have_count(before)


def press(page: Page, text: str) -> None:
    """A button of the assignment."""
    page.locator(".dli-Assignment").get_by_role("button", name=re.compile(f"^{text}")).click(
        timeout=60_000
    )


def submit(page: Page) -> None:
    """By the panel's button; the receipt is shown, and the version listed."""
    press(page, "제출")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(page.locator(".dli-Receipt")).to_contain_text(re.compile("[0-9a-f]{64}"), timeout=60_000)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(page.locator(".dli-Versions li")).to_have_count(1)


def grade(grader: GraderClient, name: str) -> None:
    """Grade what was handed in and give the feedback out."""
    assert grader.wait(grader.grade(COURSE, ASSIGNMENT), 240).parked == 0
    grader.wait(grader.release_feedback(COURSE, ASSIGNMENT), 120)
    found = {one.username: one for one in grader.results(COURSE, ASSIGNMENT)}
    assert found[name].score is not None


def read_feedback(learner: Visitor) -> None:
    """The link opens the page in a tab of its own, where no script runs."""
    link = learner.page.locator(".dli-Versions a")
    expect(link).to_have_text("피드백: digits")
    with learner.context.expect_page() as opened:
        link.click()
    tab = opened.value
    expect(tab.locator("body")).to_contain_text("top_k_accuracy", timeout=60_000)
    policy = learner.context.request.get(tab.url).headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    tab.close()


def restore(page: Page) -> None:
    """Back to the submitted version, after a question."""
    page.locator(".dli-Versions li").get_by_role("button").click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(page.locator(".dli-Said")).to_contain_text("이전 파일은", timeout=60_000)


def put(person: Person, name: str, file: str, text: str) -> None:
    """Write a file into the assignment's folder, as JupyterLab saves one."""
    given = {"type": "file", "format": "text", "content": text}
    path = f"api/contents/{COURSE}/{ASSIGNMENT}/{file}"
    person.lab(name, path, "PUT", json=given).raise_for_status()


def names(person: Person, name: str, folder: str) -> set[str]:
    """The files of a folder of the course."""
    there = person.lab(name, f"api/contents/{COURSE}/{folder}").json()["content"]
    return {one["name"] for one in there}
