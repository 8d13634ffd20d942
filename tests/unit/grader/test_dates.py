"""Rules by person, cohort and assignment; attempts, release and room as the server holds them."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser

from core.course import Assignment, Late, Text
from core.settings import ROOT
from grader import dates
from grader.exchange import archive
from grader.exchange.client import Refused
from grader.models import Dates, Submission
from grader.submissions import scores_of
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.hub.web.browser import NARROW, WIDE, faults, page_in
from tests.platform import shared_node
from tests.unit.grader.test_marking import pages, post  # noqa: F401 (a fixture)
from tests.unit.grader.test_pages import get

AT = datetime(2026, 11, 10, 9, tzinfo=UTC)
DAY = timedelta(days=1)
ITEM = Assignment(
    id="a", title=Text(en="A", ko="A"), due=AT, attempts=3, late=Late(percent_per_day=10)
)
DATA = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
PATH = "/courses/c1/assignments/sums/dates"
SHOTS = ROOT / "artifacts" / "screenshots"
FORM = "%Y-%m-%dT%H:%M"


def row(cohort: str, username: str, **given: object) -> Dates:
    values: dict[str, object] = dict.fromkeys(dates.FIELDS) | {"cleared": []} | given
    return Dates(course="c", cohort=cohort, assignment="a", username=username, **values)


def test_a_person_stands_before_the_cohort_and_that_before_the_assignment() -> None:
    rows = [
        row("x", "", due=AT + DAY, close=AT + 9 * DAY, percent_per_day=20.0),
        row("x", "ann", due=AT + 2 * DAY, cleared=["attempts"]),
        row("x", "bob", cleared=["close"], attempts=1),
        row("y", "", due=AT + 5 * DAY),
        row("", "cat", release=AT - DAY),
    ]
    ann, bob, cat = (dates.pick(ITEM, rows, "x", name) for name in ("ann", "bob", "cat"))
    assert (ann.due, ann.close, ann.attempts) == (AT + 2 * DAY, AT + 9 * DAY, None)
    assert (ann.late.percent_per_day, ann.extended) == (20, True)
    assert (bob.due, bob.close, bob.attempts) == (AT + DAY, None, 1)
    assert (cat.release, cat.due, cat.extended) == (AT - DAY, AT + DAY, True)
    assert dates.pick(ITEM, rows, "y", "ann").due == AT + 5 * DAY
    other = dates.pick(ITEM, rows, "z", "ann")
    assert (other.due, other.attempts, other.extended) == (AT, 3, False)


def submit(service: Service, name: str) -> str:
    return service.client(name).submit("c1", "sums", DATA).id


def local(moment: datetime) -> str:
    """As a browser's field sends it: the site is in Seoul."""
    return (moment + timedelta(hours=9)).strftime(FORM)


def work(service: Service) -> None:
    worker = service.worker(Agreeable())
    while worker.step():
        pass


def test_changing_a_date_works_penalties_out_anew(pages: Service) -> None:  # noqa: F811
    """nbgrader#723: there a penalty stays what it was when the notebook was graded."""
    database = pages.app.state.desk.database
    mine, other = submit(pages, "ada"), submit(pages, "bob")
    work(pages)

    def seen() -> list[tuple[float, float, bool]]:
        work(pages)
        with database.read() as session:
            scores = scores_of(session, [mine, other])
            return [
                (scores[one].score, scores[one].late_penalty, session.get_one(Submission, one).late)
                for one in (mine, other)
            ]

    assert seen() == [(5, 0, False), (5, 0, False)]
    past = local(datetime.now(UTC) - timedelta(hours=30))
    assert post(pages, PATH, "ines", due=past).status_code == 303
    assert seen() == [(4, 1, True), (4, 1, True)], "10 % for each of two days begun"
    assert post(pages, PATH, "ines", due=past, percent_per_day="50").status_code == 303
    assert seen() == [(0, 5, True), (0, 5, True)]
    assert post(pages, PATH, "ines", due=past, username="ada", **{"no-due": "1"}).is_redirect
    assert seen() == [(5, 0, False), (0, 5, True)]
    assert post(pages, PATH, "ines", username="ada").is_redirect
    assert post(pages, PATH, "ines").is_redirect
    assert seen() == [(5, 0, False), (5, 0, False)]
    with database.read() as session:
        assert session.query(Dates).count() == 0, "what says nothing is not kept"


def test_released_feedback_follows_a_changed_date(pages: Service) -> None:  # noqa: F811
    submit(pages, "emil")
    past = local(datetime.now(UTC) - timedelta(hours=30))
    assert post(pages, PATH, "ines", due=past, username="emil").is_redirect
    work(pages)

    def shown() -> dict[str, float] | None:
        work(pages)
        score: dict[str, float] | None
        score = pages.client("emil").submissions("c1", "sums")[-1]["score"]
        return score

    assert shown() is None
    assert post(pages, "/courses/c1/assignments/sums/release-feedback", "ines").is_redirect
    late = {"score": 4, "max_score": 5, "late_penalty": 1}
    assert shown() == late
    assert post(pages, PATH, "ines", username="emil").is_redirect
    assert shown() == {"score": 5, "max_score": 5, "late_penalty": 0}
    assert post(pages, PATH, "ines", due=past, username="emil").is_redirect
    assert shown() == late
    assert post(pages, PATH, "ines", username="emil").is_redirect
    work(pages)


def test_attempts_and_release_are_held_to_for_each(pages: Service) -> None:  # noqa: F811
    assert post(pages, PATH, "ines", attempts="1").is_redirect
    assert post(pages, PATH, "ines", attempts="0").status_code == 422
    assert post(pages, PATH, "ines", attempts="2", username="dora").is_redirect
    assert post(pages, PATH, "ines", attempts="2", username="stranger").status_code == 422
    submit(pages, "cleo")
    with pytest.raises(Refused, match="all attempts"):
        submit(pages, "cleo")
    answers: list[str] = []

    def at_once() -> None:
        try:
            answers.append(submit(pages, "dora"))
        except Refused as error:
            answers.append(error.code)

    threads = [threading.Thread(target=at_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([a for a in answers if a.startswith("sub")]) == 2, "two attempts, however they race"
    soon = local(datetime.now(UTC) + timedelta(hours=1))
    assert post(pages, PATH, "ines", release=soon).is_redirect
    with pytest.raises(Refused, match="not published"):
        pages.client("emil").release("c1", "sums")
    assert pages.client("emil").assignments("c1") == []
    assert post(pages, PATH, "ines", username="emil", **{"no-release": "1"}).is_redirect
    assert pages.client("emil").release("c1", "sums")
    assert pages.client("ines").release("c1", "sums"), "staff looks at it before"
    for name in ("emil", "dora", ""):
        assert post(pages, PATH, "ines", username=name).is_redirect


@pytest.mark.parametrize(
    "form",
    [{"due": "soon"}, {"percent_per_day": "101"}, {"grace_minutes": "-1"}, {"attempts": "x"}],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    pages: Service,  # noqa: F811
    form: dict[str, str],
) -> None:
    assert post(pages, PATH, "ines", **form).status_code == 422
    bad = {"due": local(AT), "close": local(AT - DAY)}
    assert post(pages, PATH, "ines", **bad).status_code == 422
    assert "none" in get(pages, PATH, "ines").text


def test_each_learner_has_so_much_room(pages: Service) -> None:  # noqa: F811
    desk = pages.app.state.desk
    usual = desk.settings
    grader = usual.grader.model_copy(update={"learner_quota_mb": 1})
    desk.settings = usual.model_copy(update={"grader": grader})
    try:
        big = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode(),
                                  "data.bin": bytes(600_000)})  # fmt: skip
        pages.client("emil").submit("c1", "sums", big)
        with pytest.raises(Refused, match=r"needs 0\.6 MB.*1 MB for submissions only 0\.4 MB"):
            pages.client("emil").submit("c1", "sums", big)
        with pytest.raises(Refused, match=r"1 MB 가운데 0\.4 MB만 남아"):
            pages.client("emil", "ko").submit("c1", "sums", big)
        pages.client("emil").submit("c1", "sums", DATA)
    finally:
        desk.settings = usual


@pytest.mark.browser
@pytest.mark.parametrize("new_url", ["SQLite"], indirect=True)
def test_the_page_in_a_browser(pages: Service, chromium: Browser) -> None:  # noqa: F811
    node = pages.settings.state_dir / "node"
    if not node.exists():
        node.symlink_to(shared_node(pages.settings))
    form = {"due": local(AT), "close": local(AT + DAY), "percent_per_day": "10", "attempts": "3"}
    assert post(pages, PATH, "ines", **form).is_redirect
    assert post(pages, PATH, "ines", username="bob", due=local(AT + DAY)).is_redirect
    looks = [("ko", "light", WIDE), ("en", "dark", NARROW), ("ko", "dark", NARROW)]
    for language, theme, size in looks:
        with page_in(chromium, pages.url, language=language, theme=theme, size=size) as page:  # type: ignore[arg-type]
            page.set_extra_http_headers({"x-person": "ines"})
            for path in (f"{PATH}?cohort=autumn", f"{PATH}?cohort=autumn&username=bob"):
                page.goto(f"{pages.url}{path}")
                assert faults(page, node / "node_modules" / "axe-core" / "axe.min.js") == []
            page.screenshot(path=SHOTS / f"dates-{language}-{theme}.png", full_page=True)
    for name in ("bob", ""):
        assert post(pages, PATH, "ines", username=name).is_redirect
