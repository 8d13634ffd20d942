"""The main job in a real browser, once in each language: join, start, work, submit, grade, read the
feedback, see the charge, run out of GPU time and be refused with the reason."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from core.units import UNITS_PER_GPU_HOUR, units, weight_of
from tests.e2e import lab, teaching
from tests.e2e.conftest import Visitor
from tests.platform import RunningPlatform, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(600)]

COHORT = "/services/usage/admin/cohorts/demo"
NOTEBOOK = "intro-dl/digits/digits.ipynb"
PASSWORD = "Every-Saturday-41"
SECONDS_TO_THE_END = 40

Visit = Callable[..., Visitor]


@dataclass(frozen=True)
class Words:
    """What the person reads and clicks, by language."""

    released: str
    feedback: str
    time_left: str
    over: str
    used_up: str
    menu: dict[str, str]


WORDS = {
    "en": Words(
        released="Feedback released",
        feedback="Feedback on digits",
        time_left="GPU time left",
        over="GPU time is over",
        used_up="is used up",
        menu={"course": "Course", "submit": "Submit the assignment"},
    ),
    "ko": Words(
        released="피드백 공개됨",
        feedback="digits",
        time_left="남은 GPU 시간",
        over="GPU 시간이 끝났습니다",
        used_up="모두 썼거나",
        menu={"course": "과정", "submit": "과제 제출"},
    ),
}


@pytest.fixture(params=["en", "ko"])
def language(request: pytest.FixtureRequest) -> str:
    """Both languages are first-class."""
    return str(request.param)


def test_the_main_job(platform: RunningPlatform, visit: Visit, language: str) -> None:
    words = WORDS[language]
    instructor = visit("instructor", language)
    teaching.publish(instructor)
    trainee = join(visit(f"kim-{language}", language), platform.event_code)
    work_and_submit(trainee, platform, words)
    teaching.watch(instructor, trainee)
    teaching.grade(instructor, trainee.name)
    read_feedback(trainee, words)
    admin = visit("admin", language)
    assert see_the_charge(admin, trainee.name) > 0
    try:
        run_out(trainee, admin, platform, words)
    finally:  # the journeys after this one spend from the same budget
        book(admin, platform, seconds_left=3600)


def join(trainee: Visitor, code: str) -> Visitor:
    """A wrong code says so; the right one makes an account and enrols."""
    page = trainee.open("/hub/signup")
    fill_sign_up(page, trainee.name, "no-such-code")
    expect(page.locator(".invalid-feedback, .alert-danger").first).to_be_visible()
    trainee.shot("join-wrong-code")
    fill_sign_up(page, trainee.name, code)
    page.wait_for_url(lambda url: "signup" not in url)
    if "/hub/login" in page.url:
        trainee.sign_in(PASSWORD)
    else:
        page.wait_for_url("**/services/usage/**")
    trainee.shot("trainee-home")
    return trainee


def fill_sign_up(page: Page, name: str, code: str) -> None:
    """The whole sign-up form."""
    page.fill("#code_input", code)
    page.fill("#username_input", name)
    page.fill("#name_input", "김하나")
    page.fill("#email_input", f"{name}@example.org")
    page.fill("#password_input", PASSWORD)
    page.fill("#password_confirmation_input", PASSWORD)
    page.check("#consent-course")
    page.click("#signup_submit")


def start(trainee: Visitor, lab_id: str, gpu: str) -> Page:
    """Press Start on the home page; ends on the pending page or in the lab."""
    page = trainee.open("/services/usage/")
    form = page.locator("form:has(input[name=course][value=intro-dl])")
    form = form.and_(page.locator(f"form:has(input[name=lab][value={lab_id}])"))
    form.locator(f"button[name=gpu][value={gpu}]").click()
    page.wait_for_url(re.compile(r"/hub/spawn-pending/|/user/"))
    return page


def work_and_submit(trainee: Visitor, platform: RunningPlatform, words: Words) -> None:
    """Start with a GPU, open the assignment, answer one part, hand in, get a receipt."""
    page = start(trainee, "assessment", "yes")
    trainee.shot("pending")
    lab.wait_open(page, trainee.name)
    leased = platform.containers(kind="lab", user=trainee.name)
    assert len(leased) == 1
    assert leased[0].labels["dli.lease"].startswith("lease-")
    lab.open_notebook(page, platform.url, trainee.name, NOTEBOOK)
    expect(lab.status(page)).to_contain_text(words.time_left)
    lab.run_first_cell(page)
    lab.replace_cell(page, "def top_k_accuracy", lab.TOP_K)
    trainee.shot("lab")
    receipt = lab.submit(page, words.menu)
    assert re.search(r"\b[0-9a-f]{64}\b", receipt), receipt
    trainee.shot("receipt")


def read_feedback(trainee: Visitor, words: Words) -> None:
    """The score and the executed notebook, without the hidden tests."""
    page = trainee.open("/services/grader/")
    expect(page.get_by_text(words.released, exact=True)).to_be_visible(timeout=30_000)
    trainee.shot("coursework")
    page.get_by_role("link", name=re.compile(words.feedback)).first.click()
    frame = page.frame_locator("iframe").first
    expect(frame.locator("body")).to_contain_text("top_k_accuracy", timeout=30_000)
    text = frame.locator("body").inner_text()
    assert "BEGIN HIDDEN TESTS" not in text
    assert "rows = torch.arange(128.0)" not in text, "a hidden test is in the feedback"
    trainee.shot("feedback")


def see_the_charge(admin: Visitor, learner: str) -> float:
    """The cohort's page shows the lab and what it was charged, in GPU-seconds."""

    def shown() -> float:
        page = admin.open(COHORT)
        row = page.get_by_role("row").filter(has_text=learner).filter(has=page.locator(".dli-num"))
        cells = row.first.locator(".dli-num").all_inner_texts()
        return float(re.sub(r"[^\d.]", "", cells[1].split("\n")[0]) or 0)

    charged = wait_for("a charge on the cohort's page", shown, 60, 1)
    admin.shot("admin-cohort")
    return charged


def book(admin: Visitor, platform: RunningPlatform, seconds_left: int) -> None:
    """The admin books a correction, so that one seventh of a GPU lasts `seconds_left` more."""
    amount = units(seconds_left * 1000, weight_of(1, 7)) - platform.usage.budget("demo").left
    reason = f"journey-{secrets.token_hex(4)}"
    page = admin.open(COHORT)
    page.locator("details:has(#book-kind) summary").click()
    page.select_option("#book-kind", "correction")
    page.fill("#book-hours", f"{Decimal(amount) / UNITS_PER_GPU_HOUR:.9f}")
    page.fill("#book-reason", reason)
    page.locator("form:has(#book-kind) button[type=submit]").click()
    expect(page.get_by_role("cell", name=reason)).to_be_visible()


def run_out(trainee: Visitor, admin: Visitor, platform: RunningPlatform, words: Words) -> None:
    """The budget ends: warned inside JupyterLab, stopped, next start refused with the reason."""
    page = trainee.open(f"/user/{trainee.name}/lab")
    lab.wait_open(page, trainee.name)
    book(admin, platform, seconds_left=SECONDS_TO_THE_END)
    expect(lab.warning(page)).to_be_visible()
    trainee.shot("lab-warning")
    wait_for(
        "the lab stopped",
        lambda: not [c for c in platform.containers(user=trainee.name) if c.status == "running"],
        SECONDS_TO_THE_END + 120,
        0.5,
    )
    expect(page.locator(".jp-Dialog")).to_contain_text(words.over)
    trainee.shot("lab-over")
    wait_for("the lab cleared away", lambda: not platform.server(trainee.name), 120)
    page = start(trainee, "assessment", "yes")
    expect(page.locator("body")).to_contain_text(words.used_up)
    trainee.shot("refused")
