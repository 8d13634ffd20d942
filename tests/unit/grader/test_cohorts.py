"""Two cohorts of one course: each one's staff sees its own work, each person's work its cohort."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from core import secrets
from core.wire import Enrolment
from grader.access import Access
from grader.client import GraderClient
from grader.exchange import archive
from grader.exchange.client import Client, Receipt, Refused
from grader.gradebook import CourseBook
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.grading_course import source_notebook
from tests.unit.grader.test_marking import pages, post  # noqa: F401 (a fixture)
from tests.unit.grader.test_pages import get
from usage.client import CohortCourses
from web.auth import Person

DATA = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
PLACES = {
    "sven": ("instructor", "spring"),  # ines teaches autumn
    "sara": ("trainee", "spring"),
    "bob": ("trainee", "spring"),  # and autumn
}


@pytest.fixture(scope="module")
def two(pages: Service) -> Iterator[Service]:  # noqa: F811
    """Both cohorts take c1; ada hands in to autumn, sara to spring, bob to each."""
    for name, (role, cohort) in PLACES.items():
        pages.usage.more[name] = [Enrolment(cohort, role, ["c1"], True)]  # type: ignore[arg-type]
    pages.ask_again()
    for name, cohort in (("ada", ""), ("sara", ""), ("bob", "autumn"), ("bob", "spring")):
        hand_in(pages, name, cohort)
    yield pages
    pages.usage.more.clear()


def hand_in(service: Service, name: str, cohort: str) -> Receipt:
    return lab(service, name, cohort).submit("c1", "sums", DATA)


def lab(service: Service, name: str, cohort: str = "") -> Client:
    client = service.client(name)
    client.cohort = cohort
    return client


def cli(service: Service) -> GraderClient:
    return GraderClient(service.url, secrets.load(service.settings.state_dir, "key-cli"))


def work(service: Service) -> None:
    worker = service.worker(Agreeable())
    while worker.step():
        pass


def test_each_attempt_counts_in_its_own_cohort(two: Service) -> None:
    both = [lab(two, "bob", c).submissions("c1", "sums") for c in ("autumn", "spring")]
    assert [[(v["cohort"], v["attempt"]) for v in own] for own in both] == [
        [("autumn", 1)],
        [("spring", 1)],
    ]
    assert hand_in(two, "bob", "spring").attempt == 2
    assert lab(two, "sara").submissions("c1", "sums")[0]["cohort"] == "spring"


def test_staff_of_one_cohort_reach_nothing_of_the_other(two: Service) -> None:
    for name, cohort, others in (("ines", "autumn", "sara"), ("sven", "spring", "ada")):
        collected = {one["student"] for one in lab(two, name).collect("c1", "sums")}
        assert collected == {"bob", "ada" if cohort == "autumn" else "sara"}
        wrong = "spring" if cohort == "autumn" else "autumn"
        assert lab(two, name, wrong).collect("c1", "sums") == lab(two, name).collect("c1", "sums")
        page = get(two, "/courses/c1", name)
        assert "bob" in page.text
        # As a word: the form's token is random hex, and may well hold "ada".
        assert not re.search(rf"\b{others}\b", page.text)
        for path in ("", "/export.csv", "/certificates", "/assignments/sums/dates"):
            assert get(two, f"/courses/c1{path}?cohort={cohort}", name).status_code == 200
            assert get(two, f"/courses/c1{path}?cohort={wrong}", name).status_code == 403
        for action in ("grade", "release-feedback", "dates", "extensions"):
            path = f"/courses/c1/assignments/sums/{action}?cohort={wrong}"
            assert post(two, path, name, username="bob").status_code == 403
        assert get(two, f"/courses/c1/events?cohort={wrong}", name).status_code == 403
    theirs = lab(two, "sara").submissions("c1", "sums")[0]["id"]
    for path in ("", "/archive", "/marking", "/ran/sums", "/feedback/sums"):
        assert get(two, f"/submissions/{theirs}{path}", "ines").status_code == 404
    for path in ("/grade", "/extend", "/marking"):
        assert post(two, f"/submissions/{theirs}{path}", "ines").status_code == 404
    with pytest.raises(Refused, match="no such submission"):
        lab(two, "ines").submission(theirs)
    assert lab(two, "sven").submission(theirs) == DATA


def test_each_cohort_has_a_gradebook_and_a_csv_of_its_own(two: Service) -> None:
    work(two)
    for cohort, people in (("autumn", {"ada", "bob"}), ("spring", {"bob", "sara"})):
        book = CourseBook.of(two.settings.state_dir, "c1", cohort)
        with book.open() as gradebook:
            assert {s.id for s in gradebook.students} == people
        text = cli(two).export("c1", cohort)[cohort]
        everybody = people | ({"cleo", "dora", "emil"} if cohort == "autumn" else set())
        assert {line.split(",")[3] for line in text.splitlines()[1:]} == everybody
        assert {r.username for r in cli(two).results("c1", "sums", cohort)} == people
    with CourseBook.of(two.settings.state_dir, "c1").open() as gradebook:
        assert gradebook.students == []
    assert {(r.cohort, r.username) for r in cli(two).results("c1", "sums")} == {
        ("autumn", "ada"),
        ("autumn", "bob"),
        ("spring", "bob"),
        ("spring", "sara"),
    }


def test_publishing_again_reaches_every_cohorts_gradebook(two: Service) -> None:
    lab(two, "sven").act("c1", "sums", "publish")
    work(two)
    assert cli(two).progress(cli(two).grade("c1", "sums", again=True, cohort="spring")).total == 2
    work(two)
    assert all(r.score == 5 for r in cli(two).results("c1", "sums", "spring"))


def test_feedback_is_released_for_one_cohort(two: Service) -> None:
    lab(two, "sven", "spring").act("c1", "sums", "release-feedback")
    work(two)
    spring = lab(two, "bob", "spring").submissions("c1", "sums")[-1]
    assert spring["score"]["max_score"] == 5
    assert lab(two, "bob", "autumn").submissions("c1", "sums")[-1]["score"] is None


def test_an_admin_sees_every_cohort(two: Service) -> None:
    desk = two.app.state.desk
    known = [CohortCourses(c, c.title(), ["c1"], c == "autumn") for c in ("spring", "autumn")]
    two.usage.cohorts = lambda: known  # type: ignore[method-assign]
    desk.access._cohorts = None
    assert desk.cohorts(Person("root", admin=True), "c1") == ["autumn", "spring"]
    assert desk.cohort_name("spring") == "Spring"


def place(cohort: str, role: str, is_open: bool = True) -> Enrolment:
    return Enrolment(cohort, role, ["c"], is_open)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("places", "wanted", "cohort"),
    [
        ([], "", None),
        ([place("x", "trainee")], "", "x"),
        ([place("x", "trainee")], "y", "x"),  # a lab's word is no right
        ([place("x", "trainee"), place("y", "trainee")], "", "x"),
        ([place("x", "trainee"), place("y", "trainee")], "y", "y"),
        ([place("x", "instructor"), place("y", "trainee")], "", "y"),
        ([place("x", "trainee", False), place("y", "trainee")], "", "y"),
        ([place("x", "trainee", False), place("y", "trainee")], "x", None),
        ([place("x", "trainee", False)], "", None),
        ([place("x", "instructor", False)], "", "x"),
    ],
)
def test_which_cohort_work_belongs_to(
    places: list[Enrolment], wanted: str, cohort: str | None
) -> None:
    assert Access(tuple(places)).cohort_of("c", wanted) == cohort
    assert Access(tuple(places), admin=True).may_teach("c", "")
    assert not Access(tuple(places)).may_teach("c", "")


@pytest.mark.parametrize(
    ("role", "is_open", "learns", "teaches"),
    [
        ("trainee", True, True, False),
        ("trainee", False, False, False),
        ("assistant", True, True, True),
        ("assistant", False, True, True),
        ("instructor", True, True, True),
        ("instructor", False, True, True),
        ("admin", False, True, True),
    ],
)
def test_what_a_place_in_a_cohort_allows(
    role: str, is_open: bool, learns: bool, teaches: bool
) -> None:
    """Learning ends with the cohort; staff still grade and look after its end."""
    access = Access((place("x", role, is_open),))
    assert access.may_learn("c") == learns
    assert access.learning("c") == (["x"] if role == "trainee" and is_open else [])
    assert access.may_publish("c") == access.may_teach("c", "x") == teaches
    assert not access.may_teach("c", "y")
    assert not access.may_learn("another")
    assert not access.may_publish("another")


def test_who_is_in_no_cohort_may_nothing() -> None:
    assert not Access().may_learn("c")
    assert not Access().may_publish("c")


def test_the_export_needs_the_course_staff(two: Service) -> None:
    assert get(two, "/courses/c1/export.csv", "sara").status_code == 403
