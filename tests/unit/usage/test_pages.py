"""Pages and the lab API over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from core.wire import GpuNeed, Observation, ReserveRequest, SeenContainer
from tests.unit.usage.conftest import HOUR, MINUTE, slot
from tests.unit.usage.server import Running, serving
from usage.client import CohortSpec, ConsentGiven, LabClient, Refused, UsageUnavailable
from usage.hub import Server

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("usage")) as running:
        cli = running.client("key-cli")
        cli.create_cohort(
            CohortSpec(
                "kt",
                "KT 2기",
                "KT",
                (NOW - timedelta(days=1)).isoformat(),
                (NOW + timedelta(days=9)).isoformat(),
                courses=["intro"],
                allowance=HOUR,
            )
        )
        cli.grant("kt", 2 * HOUR, "admin", "contract", "k1")
        cli.enrol("kt", "ann", "trainee", name="Ann")
        cli.enrol("kt", "ina", "instructor", name="이강사")
        running.client("key-agent").put_inventory("h1", [slot(1), slot(2)])
        yield running


@pytest.fixture(autouse=True)
def _fresh(service: Running) -> None:
    service.sign_in("ann")
    service.hub.servers.clear()
    service.hub.started.clear()
    service.hub.stopped.clear()


def reserve(service: Running, who: str = "ann", spawn: str = "s1", language: str = "en"):
    ask = ReserveRequest(spawn, who, "kt", "intro", "first", GpuNeed(), language)
    return service.client("key-hub").reserve(ask)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["My courses", "Introduction", "First lab", "Start with GPU", "40 min without GPU"]),
        ("ko", ["내 과정", "입문", "첫 실습", "GPU로 시작", "GPU 없이 40분", "2시간"]),
    ],
)
def test_home_in_both_languages(service: Running, language: str, words: list[str]) -> None:
    page = service.page("/", language)
    assert page.status_code == 200
    for word in words:
        assert word in page.text


def test_home_of_a_stranger_says_what_to_do(service: Running) -> None:
    service.sign_in("eve")
    assert "No course is open for you right now." in service.page().text


def test_start_asks_the_hub_and_goes_to_its_pending_page(service: Running) -> None:
    answer = service.send("/start", course="intro", lab="first", cohort="kt", gpu="yes")
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/spawn-pending/ann")
    options = {
        "course": "intro",
        "lab": "first",
        "cohort": "kt",
        "gpu": "yes",
        "language": "en",
    }
    assert service.hub.started == [("ann", options)]


def test_going_on_without_a_gpu_ends_the_gpu_lab_first(service: Running) -> None:
    wanted = {"course": "intro", "lab": "first", "cohort": "kt"}
    offer = service.page("/continue?course=intro&lab=first&cohort=kt")
    assert 'name="lab" value="first"' in offer.text
    assert "data-at-once" not in offer.text, "a link from elsewhere starts nothing by itself"
    url = f"{service.url}/continue?course=intro&lab=first&cohort=kt"
    assert "data-at-once" in httpx.get(url, headers={"Sec-Fetch-Site": "same-origin"}).text
    service.hub.servers["ann"] = Server("ready", {**wanted, "gpu": "yes"}, "/user/ann/")
    service.hub.stops_at_once = True
    answer = service.send("/continue", **wanted)
    service.hub.stops_at_once = False
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/spawn-pending/ann")
    assert service.hub.stopped == ["ann"]
    assert service.hub.started == [("ann", {**wanted, "gpu": "no", "language": "en"})]


def test_going_on_leaves_another_lab_alone(service: Running) -> None:
    other = {"course": "intro", "lab": "plain", "cohort": "kt", "gpu": "no"}
    service.hub.servers["ann"] = Server("ready", other, "/user/ann/")
    answer = service.send("/continue", course="intro", lab="first", cohort="kt")
    assert answer.status_code == 409
    assert service.hub.stopped == service.hub.started == []


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"course": "nope"}, "not enrolled in this course"),
        ({"cohort": "other"}, "not enrolled in this course"),
        ({"lab": "nope"}, "no such lab"),
        ({"lab": "plain"}, "runs without a GPU"),
        ({"gpu": "many"}, "runs without a GPU"),
    ],
)
def test_a_start_that_cannot_be(service: Running, form: dict, sentence: str) -> None:
    given = {"course": "intro", "lab": "first", "cohort": "kt", "gpu": "yes", **form}
    answer = service.send("/start", **given)
    assert answer.status_code == 409
    assert sentence in answer.text
    assert service.hub.started == []


def live_part(service: Running, language: str = "en") -> str:
    """What an open home is sent first."""
    headers = {"Accept-Language": language}
    with httpx.stream("GET", f"{service.url}/events", headers=headers, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines: list[str] = []
        for line in answer.iter_lines():
            if lines and not line:
                break
            lines += [line.removeprefix("data: ")] if line.startswith("data:") else []
    return "\n".join(lines)


def test_the_live_part_changes_without_the_page(service: Running) -> None:
    page, part = service.page("/"), live_part(service)
    assert 'hx-sse:connect="/services/usage/events"' in page.text
    assert "<html" not in part
    assert 'id="purse-kt" hx-swap-oob="innerMorph"' in part
    assert 'id="purse-kt"' in page.text
    options = {"course": "intro", "lab": "first", "gpu": "yes", "cohort": "kt"}
    service.hub.servers["ann"] = Server("ready", options, "/user/ann/")
    service.app.state.pulse.forget()
    assert 'href="/user/ann/"' in live_part(service)
    assert "실습 열기" in live_part(service, "ko")


def test_a_course_has_a_page_of_its_own(service: Running) -> None:
    page = service.page("/courses/intro")
    for words in ("Introduction", "First lab", "Start with GPU", "Left for the cohort"):
        assert words in page.text
    assert service.page("/courses/other").status_code == 404
    service.sign_in("eve")
    assert service.page("/courses/intro").status_code == 404


def test_the_chart_stands_beside_its_table_and_is_for_members(service: Running) -> None:
    page = service.page("/cohorts/kt/days", "ko")
    assert "KT 2기에 남은 시간" in page.text
    assert page.text.count("<tr>") >= 3
    service.sign_in("eve")
    assert service.page("/cohorts/kt/days").status_code == 404


def test_joining_another_cohort_by_its_code(service: Running) -> None:
    cli = service.client("key-cli")
    begin, end = (NOW - timedelta(days=1)).isoformat(), (NOW + timedelta(days=9)).isoformat()
    cli.create_cohort(CohortSpec("next", "Next", "KT", begin, end, courses=["intro"]))
    cli.create_code("next", "NEXT-2026", 5)
    answer = service.send("/join", code="wrong-code")
    assert answer.status_code == 409
    assert "This event code is not known" in answer.text
    answer = service.send("/join", code=" next-2026 ")
    assert answer.headers["location"] == "/services/usage/courses/intro"
    assert {e.cohort for e in service.client("key-hub").enrolments("ann")} == {"kt", "next"}


def test_a_person_sees_and_withdraws_what_is_optional(service: Running) -> None:
    service.client("key-cli").create_code("kt", "KT-CODE-1", 5)
    text = service.app.state.consent
    given = ConsentGiven(text.version, [item.id for item in text.items], "en")
    service.client("key-hub").sign_up("KT-CODE-1", "dan", "dan@kt.com", "Dan", given)
    service.sign_in("dan")
    page = service.page("/my-data").text
    assert page.count("You agreed on") == len(text.items)
    assert page.count(" checked>") == len(text.optional)
    assert service.send("/my-data", consent="improve").status_code == 303
    page = service.page("/my-data", "ko").text
    assert page.count("동의하지 않은 상태입니다") == 1
    assert page.count(" checked>") == 1
    service.sign_in("ann")
    assert "nothing was asked of you" in service.page("/my-data").text


def test_waiting_for_a_gpu_on_the_home(service: Running) -> None:
    hub, cli = service.client("key-hub"), service.client("key-cli")
    for who in ("bea", "cal"):
        cli.enrol("kt", who)
    held = [reserve(service, who, f"hold-{who}") for who in ("bea", "cal")]
    try:
        form = {"course": "intro", "lab": "first", "cohort": "kt"}
        answer = service.send("/start", gpu="yes", **form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/services/usage/")
        assert service.hub.started == []
        page = service.page("/")
        assert "You are number 1 of 1 in the queue." in page.text
        assert "대기 순번은 1명 중 1번입니다." in live_part(service, "ko")
        with pytest.raises(Refused, match="You are number 1 in the queue"):
            reserve(service, "ann", "again")
        hub.release(held[0].id, 0, "stopped")
        service.app.state.usage.tick()
        assert "A GPU is held for you for another" in live_part(service)
        assert "GPU 하나를" in live_part(service, "ko")
        answer = service.send("/start", gpu="yes", **form)
        assert answer.headers["location"] == "/hub/spawn-pending/ann"
        assert len(service.hub.started) == 1
        assert service.send("/queue/leave").status_code == 303
        assert "queue" not in live_part(service)
    finally:
        for lease in held:
            hub.release(lease.id, 0, "stopped")


def test_a_second_lab_is_refused_and_the_first_can_be_opened_or_stopped(service: Running) -> None:
    options = {"course": "intro", "lab": "plain", "gpu": "no"}
    service.hub.servers["ann"] = Server("ready", options, "/user/ann/")
    answer = service.send("/start", course="intro", lab="first", cohort="kt", gpu="no")
    assert answer.status_code == 409
    assert "Another lab of yours is running" in answer.text
    assert 'href="/user/ann/"' in answer.text
    assert "Stop lab" in answer.text
    again = service.send("/start", course="intro", lab="plain", cohort="kt", gpu="no")
    assert again.headers["location"] == "/user/ann/"
    assert service.send("/stop").status_code == 303
    assert service.hub.stopped == ["ann"]


def test_a_session_seen_by_learner_lab_instructor_and_admin(service: Running) -> None:
    lease = reserve(service)
    service.client("key-hub").activate(lease.id, "c1")
    service.hub.servers["ann"] = Server(
        "ready", {"course": "intro", "lab": "first", "gpu": "yes"}, "/user/ann/"
    )
    home = html.unescape(service.page().text)
    assert "NVIDIA H100 80GB" in home
    assert re.search(r"Stops in .+ at the latest: the cohort's GPU time is used up", home)
    lab = LabClient(service.url, "any")
    status = lab.status("ko")
    assert status.gpu == "NVIDIA H100 80GB"
    assert 7_190 <= (status.seconds_left or 0) <= 7_200
    assert status.stop_reason == "기수의 GPU 시간 소진"

    report = Observation("b", [SeenContainer("c1", lease.id, 90_500, True)])
    (order,) = service.client("key-agent").observe("h1", report)
    assert order.grant_ms >= 300_000
    lab.ask_for_more(30, "longer training")
    with pytest.raises(Refused, match="이미 요청했습니다"):
        lab._http.call("POST", "/requests", {"minutes": 30, "note": ""}, lang="ko")

    service.client("key-hub").release(lease.id, 90_500, "stopped")
    service.sign_in("ina")
    page = service.page("/admin/cohorts/kt").text
    assert "90.5" in page
    assert "Book GPU time" not in page
    request_id = re.search(r"requests/(request-[0-9a-f]+)", page)
    assert request_id
    answered = service.send(f"/admin/cohorts/kt/requests/{request_id[1]}", grant="true")
    assert answered.status_code == 303
    assert service.client("key-cli").budget("kt").cap == 2 * HOUR + 30 * MINUTE
    charge, *_earlier = service.client("key-cli").charges("kt")
    assert (charge.held_ms, charge.charged) == (90_500, 90_500 * 840)


def test_only_staff_sees_a_cohort_and_only_admins_change_it(service: Running) -> None:
    assert service.page("/admin/cohorts/kt").status_code == 404
    service.sign_in("ina")
    assert service.page("/admin/cohorts/kt").status_code == 200
    assert service.page("/admin").status_code == 403
    form = {"kind": "top-up", "hours": "1", "reason": "r", "key": "x"}
    assert service.send("/admin/cohorts/kt/entries", **form).status_code == 403


def test_an_admin_creates_a_cohort_books_and_makes_a_code(service: Running) -> None:
    service.sign_in("root", admin=True)
    made = service.send(
        "/admin/cohorts",
        id="fall",
        name="Fall",
        starts="2026-11-01T09:00",
        ends="2027-01-01T18:00",
        timezone="Asia/Seoul",
        courses=["intro"],
        learner_hours="1.5",
    )
    assert made.headers["location"].endswith("/admin/cohorts/fall")
    for _ in range(2):
        form = {"kind": "grant", "hours": "1,000.5", "reason": "contract", "key": "once"}
        assert service.send("/admin/cohorts/fall/entries", **form).status_code == 303
    code = {"code": "fall-2026", "seats": "1", "expires": "2026-12-31T18:00"}
    assert service.send("/admin/cohorts/fall/codes", **code).status_code == 303
    assert service.send("/admin/cohorts/fall/members", username="ann").status_code == 303
    assert "FALL-2026" in service.page("/admin/cohorts/fall/people").text
    assert service.client("key-cli").budget("fall").cap == HOUR * 2001 // 2
    assert "Fall" in service.page("/admin").text
    hub = service.client("key-hub")
    text = service.app.state.consent
    given = ConsentGiven(text.version, [item.id for item in text.required], "en")
    for code in ("fall-2026", "FALL-2026"):
        assert hub.sign_up(code, "zoe", "zoe@kt.com", "Zoe", given).cohort == "fall"
    with pytest.raises(Refused) as full:
        hub.check_sign_up("fall-2026", "yuna", "yuna@kt.com", "ko")
    assert full.value.refusal.message == (
        "Fall 기수의 이 이벤트 코드는 1자리가 모두 찼습니다. 문의: 교육 운영 담당자."
    )


@pytest.mark.parametrize(
    ("path", "form", "sentence"),
    [
        ("/admin/cohorts", {"id": "Bad Id", "name": "x"}, "기수 ID로 쓸 수 없습니다"),
        ("/admin/cohorts", {"id": "ok", "name": " "}, "기수 이름을 입력하세요"),
        (
            "/admin/cohorts",
            {"id": "ok", "name": "x", "starts": "soon"},
            "읽을 수 없습니다",
        ),
        (
            "/admin/cohorts",
            {"id": "ok", "name": "x", "starts": "2026-11-02T00:00", "ends": "2026-11-01T00:00"},
            "시작 시각보다 뒤여야",
        ),
        ("/admin/cohorts", {"id": "ok", "name": "x", "timezone": "Mars/One"}, "없는 시간대"),
        ("/admin/cohorts", {"id": "ok", "name": "x", "courses": ["nope"]}, "nope 과정은 없습니다"),
        ("/admin/cohorts", {"id": "ok", "name": "x", "learner_hours": "lots"}, "읽을 수 없습니다"),
        ("/admin/cohorts", {"id": "ok", "name": "x", "lab_max_minutes": "-3"}, "이상"),
        (
            "/admin/cohorts/kt/entries",
            {"kind": "top-up", "hours": "-1", "reason": "r", "key": "n"},
            "0보다 커야",
        ),
        (
            "/admin/cohorts/kt/entries",
            {"kind": "top-up", "hours": "abc", "reason": "r", "key": "n"},
            "GPU-시간 수로 읽을 수 없습니다",
        ),
        (
            "/admin/cohorts/kt/entries",
            {"kind": "top-up", "hours": "1", "reason": " ", "key": "n"},
            "사유를 입력하세요",
        ),
        ("/admin/cohorts/kt/codes", {"code": "a", "seats": "3"}, "5~40자"),
        ("/admin/cohorts/kt/codes", {"code": "abcde", "seats": "many"}, "정수가 아닙니다"),
        ("/admin/cohorts/kt/codes", {"code": "abcde", "seats": "0"}, "이상"),
        ("/admin/cohorts/kt/members", {"username": "a/b"}, "사용자 이름으로 쓸 수 없습니다"),
    ],
)
def test_bad_forms_are_told_in_the_readers_language(
    service: Running, path: str, form: dict, sentence: str
) -> None:
    service.sign_in("root", admin=True)
    answer = service.send(path, "ko", **form)
    assert answer.status_code == 409
    assert sentence in answer.text


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("key-cli", lambda c: c.put_inventory("h1", [])),
        ("key-hub", lambda c: c.put_inventory("h1", [])),
        ("key-agent", lambda c: c.enrolments("ann")),
        ("key-agent", lambda c: c.check_sign_up("x", "zoe", "", "en")),
        ("key-hub", lambda c: c.charges("kt")),
        ("key-worker", lambda c: c.grant("kt", 1, "a", "r", "k")),
        ("key-worker", lambda c: c.observe("h1", Observation("b", []))),
        ("receipt", lambda c: c.enrolments("ann")),
    ],
)
def test_a_key_opens_only_its_own_routes(service: Running, key: str, call) -> None:
    with pytest.raises(UsageUnavailable, match="401"):
        call(service.client(key))


def test_a_refusal_is_a_sentence_in_the_learners_language(service: Running) -> None:
    with pytest.raises(Refused) as caught:
        reserve(service, "eve", "s-eve", "ko")
    assert caught.value.refusal.code == "not_enrolled"
    assert caught.value.refusal.message == "KT 2기 기수의 구성원이 아닙니다. 강사에게 문의하세요."


def test_metrics_are_for_this_machine(service: Running) -> None:
    text = httpx.get(f"{service.url}/metrics").text
    assert 'dli_budget_units{cohort="kt",part="cap"}' in text
    proxied = httpx.get(f"{service.url}/metrics", headers={"X-Forwarded-For": "10.0.0.9"})
    assert proxied.status_code == 404


def test_no_service_is_unavailable(tmp_path: Path) -> None:
    from usage.client import UsageClient

    with pytest.raises(UsageUnavailable, match="ConnectError"):
        UsageClient("http://127.0.0.1:9/services/usage", "k").enrolments("ann")
