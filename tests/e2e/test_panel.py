"""Inside JupyterLab: the assignments panel for real, and a lab that somebody else stops."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Response, expect

from core import secrets
from grader.client import GraderClient
from tests.e2e import lab
from tests.e2e.conftest import Visitor
from tests.people import Person
from tests.platform import RunningPlatform

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(600)]

PASSWORD = "Every-Monday-43"
COURSE, ASSIGNMENT = "intro-dl", "digits"
PLAIN_LAB = "01-training-by-hand"
"""A lab without an assignment: nothing is fetched at its start."""

Visit = Callable[..., Visitor]


@pytest.fixture
def grader(platform: RunningPlatform) -> Iterator[GraderClient]:
    """The grader as `./dli course publish` and `./dli grade` call it; the assignment is out."""
    key = secrets.load(platform.settings.state_dir, "key-cli")
    client = GraderClient(f"{platform.url}/services/grader", key)
    assert client.wait(client.publish(COURSE, ASSIGNMENT), 120).parked == 0
    yield client
    client.close()


def sign_up(platform: RunningPlatform, name: str, language: str) -> Person:
    """A new trainee of the demo's cohort, at a browser in this language."""
    person = Person(platform.url, language)
    given = {"code": platform.event_code, "username": name, "name": "김하나"}
    given |= {"email": f"{name}@example.org", "password": PASSWORD, "password_again": PASSWORD}
    person.submit("/hub/signup", given | {"consent": "course"}, "signup")
    return person


def in_lab(person: Person, name: str, visit: Visit, language: str) -> Visitor:
    """Their lab without a GPU, open in a browser."""
    person.start_lab(COURSE, PLAIN_LAB, gpu=False)
    person.lab_ready(name, 120)
    visitor = visit(name, language, password=PASSWORD)
    visitor.open(f"/user/{name}/lab")
    lab.wait_open(visitor.page, name)
    return visitor


def test_fetch_validate_submit_feedback_and_restore(
    platform: RunningPlatform, visit: Visit, grader: GraderClient
) -> None:
    person = sign_up(platform, "panel-ko", "ko")
    learner = in_lab(person, "panel-ko", visit, "ko")
    page = learner.page
    page.locator('.jp-LauncherCard[title="과제 목록"]').click()
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


def press(page: Page, text: str) -> None:
    """A button of the assignment."""
    page.locator(".dli-Assignment").get_by_role("button", name=re.compile(f"^{text}")).click(
        timeout=60_000
    )


def submit(page: Page) -> None:
    """By the panel's button; the receipt is shown, and the version listed."""
    press(page, "제출")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(page.locator(".dli-Receipt")).to_contain_text(
        re.compile(r"\b[0-9a-f]{64}\b"), timeout=60_000
    )
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


def test_a_lab_that_is_stopped_says_so_once_and_goes_on_when_it_runs_again(
    platform: RunningPlatform, visit: Visit
) -> None:
    person = sign_up(platform, "stopped-en", "en")
    learner = in_lab(person, "stopped-en", visit, "en")
    page = learner.page
    expect(lab.status(page)).to_contain_text("CPU lab")
    instructor = platform.sign_in("instructor")
    instructor.submit("/services/usage/classes/demo", {"username": "stopped-en"}, "/stop")
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Your lab was stopped", timeout=120_000)
    learner.shot("lab-stopped")
    dialog.get_by_role("button", name="Stay here").click()
    for _look in range(3):  # JupyterLab and our own poll meet the stopped lab again and again
        with page.expect_response(answered(424), timeout=120_000):
            pass
    expect(dialog).to_have_count(0)
    with page.expect_response(answered(200), timeout=180_000):
        person.start_lab(COURSE, PLAIN_LAB, gpu=False)
    expect(page.locator("#jp-main-dock-panel")).to_be_visible()
    expect(dialog).to_have_count(0)


def answered(status: int) -> Callable[[Response], bool]:
    """An answer of the person's lab, or of the Hub in its place, to this page."""
    return lambda response: "/dli-lab/status" in response.url and response.status == status
