"""Every form of administration with what cannot be: the message stands at its field, in the
reader's language, and nothing that was typed is lost."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest

from core.ids import new_id
from core.wire import GpuNeed, ReserveRequest
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running, serving
from usage.client import CohortSpec
from usage.hub import Server
from usage.pages.admin.listing import Asked, listed

KT = "/admin/cohorts/kt"
NOW = datetime.now(UTC)
PAGE_OF_TEXT = "가" * 100_000


def at(days: float) -> str:
    """A moment as a browser's field for date and time sends it."""
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("forms")) as running:
        cli = running.client("key-cli")
        begin, end = ((NOW + timedelta(days=days)).isoformat() for days in (-1, 9))
        cli.create_cohort(CohortSpec("kt", "KT", "KT", begin, end, courses=["intro"]))
        cli.grant("kt", 10 * HOUR, "root", "contract", "first")
        cli.enrol("kt", "ann")
        running.client("key-agent").put_inventory("h1", [slot(n, 120, "mig") for n in range(2)])
        running.hub.servers["ann"] = Server(
            "ready", {"course": "intro", "lab": "first"}, "/user/ann/"
        )
        running.sign_in("root", admin=True)
        taken = {"starts": at(1), "ends": at(2), "seats": "1"}
        assert running.send(f"{KT}/windows", **taken).status_code == 303
        yield running


NEW = {"id": "new", "name": "새 기수", "starts": at(0), "ends": at(9), "timezone": "Asia/Seoul"}
WINDOW = {"starts": at(3), "ends": at(4), "seats": "1", "isolation": "mig", "prestart": ""}
BOOK = {"kind": "top-up", "hours": "5", "reason": "contract", "key": "k"}
CODE = {"code": "KT-CODE", "seats": "30", "expires": "", "role": "assistant"}

MISTAKES = [
    # address, form's name on the page, what was right, what was not, field, what is said
    ("/admin/cohorts", "", NEW, {"name": PAGE_OF_TEXT}, "name", "200자까지"),
    ("/admin/cohorts", "", NEW, {"id": "Ü"}, "id", "ID로 쓸 수 없습니다"),
    ("/admin/cohorts", "", NEW, {"id": "kt"}, "id", "이미"),
    ("/admin/cohorts", "", NEW, {"starts": ""}, "starts", "날짜와 시각을 입력하세요"),
    ("/admin/cohorts", "", NEW, {"ends": at(-3)}, "ends", "시작 시각보다 뒤여야"),
    ("/admin/cohorts", "", NEW, {"timezone": "Asia/Busan"}, "timezone", "없는 시간대"),
    ("/admin/cohorts", "", NEW, {"timezone": "/etc/passwd"}, "timezone", "없는 시간대"),
    ("/admin/cohorts", "", NEW, {"timezone": PAGE_OF_TEXT}, "timezone", "없는 시간대"),
    ("/admin/cohorts", "", NEW, {"courses": "nope"}, "courses", "nope 과정은 없습니다"),
    ("/admin/cohorts", "", NEW, {"grant_hours": "9" * 18}, "grant_hours", "너무 큽니다"),
    ("/admin/cohorts", "", NEW, {"grant_hours": "0"}, "grant_hours", "0보다 커야"),
    ("/admin/cohorts", "", NEW, {"learner_hours": "1e999999999"}, "learner_hours", "읽을 수 없"),
    ("/admin/cohorts", "", NEW, {"daily_hours": "-2"}, "daily_hours", "0보다 커야"),
    ("/admin/cohorts", "", NEW, {"allowance_hours": "-2"}, "allowance_hours", "작을 수 없습니다"),
    ("/admin/cohorts", "", NEW, {"lab_max_minutes": "1.5"}, "lab_max_minutes", "정수가 아닙니다"),
    ("/admin/cohorts", "", NEW, {"max_gpu_labs": "9" * 5000}, "max_gpu_labs", "정수가 아닙니다"),
    (f"{KT}/about", "about", {"name": "KT 2"}, {"starts": at(50)}, "starts", "시작 시각보다"),
    (f"{KT}/about", "about", {"starts": at(0)}, {"name": " "}, "name", "이름을 입력하세요"),
    (f"{KT}/about", "about", {"name": "K"}, {"organisation": "x" * 201}, "organisation", "200자"),
    (f"{KT}/limits", "limits", {"daily_hours": "3"}, {"ends": at(-5)}, "ends", "뒤여야"),
    (
        f"{KT}/limits",
        "limits",
        {"daily_hours": "3"},
        {"allowance_hours": "x"},
        "allowance_hours",
        "x",
    ),
    (f"{KT}/windows", "windows", WINDOW, {"ends": at(2.5)}, "ends", "시작 뒤에 끝나야"),
    (f"{KT}/windows", "windows", WINDOW, {"ends": at(300)}, "ends", "7일"),
    (f"{KT}/windows", "windows", WINDOW, {"starts": at(1.5)}, "starts", "이미"),
    (f"{KT}/windows", "windows", WINDOW, {"starts": at(8), "ends": at(11)}, "starts", "사이"),
    (f"{KT}/windows", "windows", WINDOW, {"seats": "77"}, "seats", "77"),
    (f"{KT}/windows", "windows", WINDOW, {"seats": "많이"}, "seats", "정수가 아닙니다"),
    (f"{KT}/windows", "windows", WINDOW, {"prestart": "nope/x"}, "prestart", "nope"),
    (f"{KT}/retention", "retention", {}, {"until": "soon"}, "until", "날짜가 아닙니다"),
    (f"{KT}/entries", "book", BOOK, {"hours": "열"}, "hours", "읽을 수 없습니다"),
    (f"{KT}/entries", "book", BOOK, {"reason": "x" * 901}, "reason", "900자까지"),
    (f"{KT}/entries", "book", BOOK, {"kind": "correction", "hours": "-99"}, "hours", "정정"),
    (f"{KT}/codes", "codes", CODE, {"seats": "-1"}, "seats", "1 이상"),
    (f"{KT}/codes", "codes", CODE, {"code": "#!"}, "code", "5~40자"),
    (f"{KT}/codes", "codes", CODE, {"expires": "never"}, "expires", "읽을 수 없습니다"),
    (f"{KT}/codes", "codes", CODE, {"role": "admin"}, "role", "admin"),
    (f"{KT}/members", "member", {"name": "김"}, {"username": "a/b"}, "username", "쓸 수 없습니다"),
    (f"{KT}/members", "member", {"username": "x"}, {"role": "king"}, "role", "king"),
]


@pytest.mark.parametrize(
    ("path", "form", "right", "wrong", "field", "said"),
    MISTAKES,
    ids=[f"{number}-{mistake[4]}" for number, mistake in enumerate(MISTAKES)],
)
def test_a_mistake_is_told_at_its_field_and_nothing_typed_is_lost(
    service: Running, path: str, form: str, right: dict, wrong: dict, field: str, said: str
) -> None:
    typed = {**right, **wrong}
    answer = service.send(path, "ko", **typed)
    assert answer.status_code == 409
    error = re.search(rf'id="{form}-{field}-error">([^<]*)<', answer.text)
    assert error, f"nothing is said at {field}"
    assert said in html.unescape(error[1])
    assert len(error[1]) < 400
    marked = re.findall(r"<(?:input|select)[^>]*aria-invalid[^>]*>", answer.text)
    if field != "courses":
        (one,) = marked
        assert f'id="{form}-{field}"' in one
        assert "autofocus" in one
    for name, value in typed.items():
        place = re.search(rf'<input[^>]*id="{form}-{name}"[^>]*value="([^"]*)"', answer.text)
        if place:
            assert html.unescape(place[1]) == value, f"{name} was lost"


def test_a_reason_that_is_missing_is_told_in_the_row(service: Running) -> None:
    lease = service.client("key-hub").reserve(
        ReserveRequest(new_id("spawn"), "ann", "kt", "intro", "first", GpuNeed())
    )
    service.client("key-hub").activate(lease.id, "c")
    stop = service.send("/admin/machines/stop", "ko", username="ann", reason=" ")
    service.client("key-hub").release(lease.id, 600_000, "stopped")
    refund = {"lease": lease.id, "hours": "99", "reason": "고장", "key": "k2"}
    for answer, at_field in (
        (stop, "why-ann"),
        (service.send(f"{KT}/members/ann/remove", "ko"), "why-1"),
        (service.send(f"{KT}/refunds", "ko", **refund), f"refund-{lease.id}-hours"),
        (service.send("/admin/people/ann/erase", "ko", reason=" ", again="ann"), "erase-reason"),
        (service.send("/admin/people/ann/erase", "ko", reason="요청", again="x"), "erase-again"),
    ):
        assert answer.status_code == 409
        assert f'id="{at_field}-error"' in answer.text
    assert service.hub.stopped == []
    assert 'id="look-username-error"' in service.page("/admin/people?username=ghost", "ko").text


def test_what_is_saved_is_said(service: Running) -> None:
    done = service.send(f"{KT}/limits", daily_hours="4")
    assert done.status_code == 303
    target = done.headers["location"]
    assert target.endswith("/settings?done=limits#limits")
    assert "Saved." in service.page(target.removeprefix("/services/usage").split("#")[0]).text
    with_seconds = service.client("key-cli")
    before = with_seconds.budget("kt")
    page = service.page(f"{KT}/settings").text
    (ends,) = re.findall(r'id="limits-ends"[^>]*value="([^"]+)"', page)
    assert service.send(f"{KT}/limits", ends=ends).status_code == 303
    said = service.page("/admin/audit?action=cohort.change").text
    assert "Ends" not in re.sub(r"<form.*?</form>", "", said, flags=re.S), "nobody moved the end"
    assert with_seconds.budget("kt") == before


def test_a_field_that_is_larger_than_any_form(service: Running) -> None:
    answer = service.send("/admin/cohorts", "ko", **NEW | {"name": PAGE_OF_TEXT * 9})
    assert answer.status_code == 400
    assert "1MB" in answer.text
    assert "exceeded" not in answer.text


def test_html_in_names_is_text(service: Running) -> None:
    name = "<img src=x onerror=alert(1)> & Co"
    form = {**NEW, "id": "html", "name": name, "organisation": "<b>기관</b>"}
    assert service.send("/admin/cohorts", **form).status_code == 303
    assert service.send("/admin/cohorts/html/codes", code="HTML-1", seats="1").status_code == 303
    for path in (
        "/admin",
        "/admin/new-cohort?copy=html",
        "/admin/cohorts/html",
        "/admin/cohorts/html/settings",
        "/admin/cohorts/html/people",
        "/admin/cohorts/html/codes/HTML-1/sheet",
        "/admin/cohorts/html/report",
        "/admin/reports",
        "/admin/audit?scope=html",
    ):
        page = service.page(path)
        assert page.status_code == 200
        assert "<img src=x" not in page.text, path
        assert "<b>기관" not in page.text, path
        assert "&lt;img src=x" in page.text, path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.csv", b""),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(2000)),
        ("book.xlsx", b"PK\x03\x04" + bytes(500)),
        ("many.csv", b"email\n" + b"".join(b"p%d@kt.com\n" % n for n in range(10_000))),
        ("huge.csv", b"email,name\n" + b"a@kt.com," + b"x" * 6_000_000),
    ],
)
@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_file_that_is_no_roster(service: Running, name: str, data: bytes, language: str) -> None:
    answer = httpx.post(
        f"{service.url}{KT}/roster",
        files={"roster": (name, data, "text/csv")},
        headers={"Accept-Language": language},
    )
    assert answer.status_code == 409
    assert 'id="roster-roster-error"' in answer.text


def test_a_table_of_many_is_searched_sorted_and_cut_into_pages() -> None:
    rows = [f"name-{n:03}" for n in range(120)]
    ask = partial(listed, words=lambda row: [row], keys={"name": str}, anchor="x")
    first = ask(rows, Asked())
    assert (first.rows[0], len(first.rows), first.pages, first.total) == ("name-000", 50, 3, 120)
    assert ask(rows, Asked(page=999)).rows == rows[100:]
    assert ask(rows, Asked(sort="-name")).rows[0] == "name-119"
    assert ask(rows, Asked(sort="password")).rows == rows[:50]
    found = ask(rows, Asked(q="NAME 007", sort="name", page=2))
    assert (found.rows, found.page) == (["name-007"], 1)
    assert found.address(page=2) == "?q=NAME+007&sort=name&page=2#x"
    assert found.head("name", "Name") == {
        "text": "Name",
        "kind": "",
        "order": "ascending",
        "href": "?q=NAME+007&sort=-name#x",
    }


def test_sixty_cohorts_and_three_hundred_people(service: Running) -> None:
    usage = service.app.state.usage
    begin, end = ((NOW + timedelta(days=days)).isoformat() for days in (-1, 9))
    for number in range(60):
        usage.put_cohort(CohortSpec(f"many{number}", f"과정 {number}기", "기관", begin, end))
    for number in range(300):
        usage.enrol("many7", f"person-{number:03}", "trainee", f"p{number}@kt.com", f"이름{number}")
    page = service.page("/admin", "ko").text
    assert "1 / 2쪽" in page
    assert service.page("/admin?q=과정+17").text.count("<tr>") == 2
    people = service.page("/admin/cohorts/many7/people?sort=-name&page=6", "ko").text
    assert "6 / 6쪽" in people
    assert 'aria-sort="descending"' in people
    one = service.page("/admin/cohorts/many7/people?q=person-123", "ko").text
    assert "p123@kt.com" in one
    assert "p124@kt.com" not in one
    refused = service.send("/admin/cohorts/many7/members/person-250/remove", "ko", reason=" ")
    assert "p250@kt.com" in refused.text, "the row is in sight, though it was on another page"
