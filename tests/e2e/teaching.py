"""What an instructor does in the browser, in either language."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import expect

from tests.e2e.conftest import Visitor

COURSE = "/services/grader/courses/intro-dl"
CLASS = "/services/usage/classes/demo?course=intro-dl"


@dataclass(frozen=True)
class Words:
    """What the instructor reads."""

    published: str
    released: str
    running: str
    submitted: str
    told: str
    withdrawn: str


WORDS = {
    "en": Words(
        published="Published",
        released="Feedback released",
        running="Running with GPU",
        submitted="Submitted",
        told="Your announcement is on its way",
        withdrawn="The announcement was taken back.",
    ),
    "ko": Words(
        published="공개됨",
        released="피드백 공개됨",
        running="GPU로 실행 중",
        submitted="제출함",
        told="공지를 보냈습니다",
        withdrawn="공지를 거두었습니다.",
    ),
}


def publish(instructor: Visitor) -> None:
    """Look at what learners get, publish that, and see that it is."""
    page = instructor.open(COURSE)
    page.locator("a[href*='/preview']").first.click()
    frame = page.frame_locator("iframe").first
    expect(frame.locator("body")).to_contain_text("top_k_accuracy")
    assert "BEGIN HIDDEN TESTS" not in frame.locator("body").inner_text()
    instructor.shot("instructor-preview")
    page.locator("form[action*='/publish'] button").click()
    published = page.get_by_text(WORDS[instructor.language].published, exact=True)
    expect(published.first).to_be_visible(timeout=60_000)
    instructor.shot("instructor-course")


def watch(instructor: Visitor, learner: Visitor) -> None:
    """The class shows the learner's lab and work; what is announced reaches lab and home."""
    words = WORDS[instructor.language]
    text = f"Break until 15:00 ({instructor.language})"
    page = instructor.open(CLASS)
    row = page.get_by_role("row").filter(has_text=learner.name)
    expect(row).to_contain_text(words.running)
    expect(row).to_contain_text(words.submitted)
    instructor.shot("instructor-class")
    page.locator("#announce summary").click()
    page.fill("#a-text", text)
    page.locator("form[action$='/announcements'] button").press("Enter")
    expect(page.get_by_text(words.told)).to_be_visible()
    expect(learner.page.locator("#dli-lab-warnings")).to_contain_text(text)
    learner.shot("lab-announcement")
    home = learner.context.new_page()
    home.goto(learner.url + "/services/usage/")
    expect(home.locator("#live")).to_contain_text(text)
    home.close()
    # Or everybody's first lab after this journey would begin with it.
    page.locator("#told summary").click()
    page.locator("#told form[action$='/withdraw'] button").first.click()
    expect(page.get_by_text(words.withdrawn)).to_be_visible()


def grade(instructor: Visitor, learner: str) -> None:
    """One click grades; the score shows; feedback is released."""
    page = instructor.open(COURSE)
    page.locator("form[action*='/grade?'] button").first.click()
    row = page.get_by_role("row").filter(has_text=learner)
    expect(row).to_contain_text("3 / 20", timeout=180_000)
    instructor.shot("instructor-graded")
    page.locator("form[action*='/release-feedback'] button").click()
    expect(row).to_contain_text(WORDS[instructor.language].released)
