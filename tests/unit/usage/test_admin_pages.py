"""The admin's day over HTTP: rosters, codes, refunds, reports, audit log, personal data."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator

import httpx
import pytest

from tests.unit.usage.admin_data import fill
from tests.unit.usage.conftest import HOUR
from tests.unit.usage.server import Running, serving
from usage.classroom.coursework import Coursework, GraderDown

KT = "/admin/cohorts/kt"


@pytest.fixture(scope="module")
def pages(service: Running) -> dict[str, str]:
    return fill(service)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("usage")) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_admin(service: Running, pages: dict[str, str]) -> None:
    service.sign_in("root", admin=True)


def upload(service: Running, data: bytes, name: str = "roster.csv", language: str = "en"):
    return httpx.post(
        f"{service.url}{KT}/roster",
        files={"roster": (name, data, "text/csv")},
        headers={"Accept-Language": language},
    )


def test_a_roster_from_file_to_members(service: Running) -> None:
    text = "이메일,이름,역할,동아리\ndan@kt.com,단,교육생,밴드\nbroken,고장,,\n"
    shown = upload(service, text.encode("cp949"), "명단.csv")
    assert shown.status_code == 303
    preview = shown.headers["location"].removeprefix("/services/usage")
    page = service.page(preview).text
    for words in (
        "Becomes a member at sign-up",
        "broken is not an e-mail address",
        "동아리",
        "CP949",
    ):
        assert words in page
    assert "dan@kt.com" not in service.page(f"{KT}/people").text
    for _ in range(2):
        done = service.send(preview)
        assert done.headers["location"].startswith("/services/usage/admin/cohorts/kt/people")
    assert service.page(f"{KT}/people").text.count("dan@kt.com") == 1
    assert "Nothing more will happen" in service.page(preview).text


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "빈 파일"),
        (b"name\nKim\n", "누구인지 알 수 있는 열이 없습니다"),
        (b"email\n" + b"x" * 1_000_000, "2번째 줄: 셀 내용이 지나치게 깁니다"),
        (b"email\na@b.io\0", "NUL 문자"),
        (b"email\n" + b"a@b.io\n" * 10_000, "한 파일에 5000명까지"),
        (b"PK\x03\x04", "스프레드시트 파일"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(service: Running, data: bytes, sentence: str) -> None:
    answer = upload(service, data, language="ko")
    assert answer.status_code == 409
    assert sentence in answer.text


def test_no_file_and_a_preview_of_somebody_else(service: Running, pages: dict[str, str]) -> None:
    assert "Choose a file first." in service.send(f"{KT}/roster").text
    service.sign_in("second", admin=True)
    assert "This preview is gone" in service.page(pages["preview"]).text


def test_a_copy_takes_courses_limits_money_and_staff(service: Running) -> None:
    service.client("key-cli").enrol("kt", "teach", "instructor")
    page = service.page("/admin/new-cohort?copy=kt").text
    assert 'name="grant_hours" type="text" value="20"' in page
    form = {
        "id": "kt3",
        "name": "KT 3기",
        "starts": "2026-12-01T09:00",
        "ends": "2027-02-01T18:00",
        "courses": ["intro"],
        "grant_hours": "20",
        "copied_from": "kt",
        "staff": "true",
    }
    assert service.send("/admin/cohorts", **form).status_code == 303
    assert service.client("key-cli").budget("kt3").cap == 20 * HOUR
    assert "kt3의 첫 배정" in service.page("/admin/cohorts/kt3", "ko").text
    assert "First grant of kt3" in service.page("/admin/audit?scope=kt3").text
    assert "teach" in service.page("/admin/cohorts/kt3/people").text
    assert "cal@kt.com" not in service.page("/admin/cohorts/kt3/people").text
    again = service.send("/admin/cohorts", **form)
    assert (again.status_code, "already" in again.text) == (409, True)


def test_settings_are_changed_and_refused_on_their_page(service: Running) -> None:
    form = {"name": "KT AI 2기", "organisation": "KT", "courses": ["intro"]}
    assert service.send(f"{KT}/about", **form).status_code == 303
    assert service.send(f"{KT}/about", **{**form, "name": " "}).status_code == 409
    assert service.send(f"{KT}/retention", until="2030-01-31").status_code == 303
    page = service.page(f"{KT}/settings").text
    assert "after Feb 1, 2030 12:00" in page
    assert service.send(f"{KT}/retention", until="soon").status_code == 409
    assert service.send(f"{KT}/retention").status_code == 303


def test_a_sheet_to_print(service: Running, pages: dict[str, str]) -> None:
    page = service.page(pages["sheet"], "ko").text
    assert "<svg" in page
    assert "KT-2026-NOV" in page
    assert "/hub/signup" in page
    assert service.page("/admin/cohorts/posco/codes/KT-2026-NOV/sheet").status_code == 404


def test_a_refund_needs_a_reason_and_is_booked_once(service: Running) -> None:
    page = service.page(KT).text
    lease = re.search(r'name="lease" value="(lease-\w+)"', page)
    assert lease
    form = {"lease": lease[1], "hours": "0.01", "reason": "GPU failed", "key": "entry-r"}
    before = service.client("key-cli").budget("kt").settled
    assert service.send(f"{KT}/refunds", **{**form, "reason": " "}).status_code == 409
    assert service.send(f"{KT}/refunds", **{**form, "hours": "99"}).status_code == 409
    for _ in range(2):
        assert service.send(f"{KT}/refunds", **form).status_code == 303
    assert before - service.client("key-cli").budget("kt").settled == HOUR // 100
    assert "GPU failed" in service.page(KT).text


def test_reports_as_files(service: Running) -> None:
    for path in ("/admin/reports/cohort.csv", "/admin/reports/organisation.csv"):
        rows = list(csv.reader(io.StringIO(service.page(path).content.decode("utf-8-sig"))))
        assert len(rows) >= 3
    people = service.page(f"{KT}/report.csv").content.decode("utf-8-sig")
    assert "bea" in people
    none = service.page(f"{KT}/report.csv?since=2040-01-01").content.decode("utf-8-sig")
    assert "bea" not in none
    assert service.page("/admin/reports/people.csv").status_code == 422


def test_stopping_a_lab_needs_a_reason(service: Running) -> None:
    assert service.send("/admin/machines/stop", username="ann").status_code == 409
    assert service.hub.stopped == []
    assert service.send("/admin/machines/stop", username="ann", reason="repair").status_code == 303
    assert service.hub.stopped == ["ann"]


def test_a_gpu_is_taken_out_with_a_reason_and_opened_without(service: Running) -> None:
    for mode in ("drained", "disabled"):
        refused = service.send("/admin/slots", slot="slot-3", mode=mode, reason=" ")
        assert (refused.status_code, "Give a reason" in refused.text) == (409, True)
    assert "Drained" not in service.page("/admin/machines").text
    drained = service.send("/admin/slots", slot="slot-3", mode="drained", reason="fan is loud")
    assert drained.status_code == 303
    assert "Drained" in service.page("/admin/machines").text
    assert "fan is loud" in service.page("/admin/audit?action=gpu.drained").text
    assert service.send("/admin/slots", slot="slot-3", mode="open").status_code == 303
    assert "Drained" not in service.page("/admin/machines").text
    assert service.send("/admin/slots", slot="none", mode="open").status_code == 404


def test_the_audit_log_is_filtered_and_counts_reading(service: Running) -> None:
    service.page(f"{KT}/people")
    service.page(f"{KT}/people")
    page = service.page("/admin/audit?action=people.read&actor=root").text
    assert page.count("<td>Read a list of people</td>") >= 1
    assert "1 entry" in page or "2 entries" in page
    assert "GPU failed" in service.page("/admin/audit?action=budget&scope=kt").text
    assert "Nothing was written down" in service.page("/admin/audit?actor=nobody").text
    assert "Nothing was written down" in service.page("/admin/audit?until=2020-01-01").text
    assert service.page("/admin/audit?since=never&page=1").status_code == 200
    assert "감사 기록" in service.page("/admin/audit", "ko").text


def test_personal_data_found_taken_away_and_erased(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def export(_self: Coursework, _username: str, out: io.BytesIO) -> None:
        out.write(b"PK")

    async def down(*_args: object) -> None:
        raise GraderDown("no answer")

    assert "Nobody here has the user name" in service.page("/admin/people?username=ghost").text
    assert "bea@kt.com" in service.page("/admin/people?username=BEA@kt.com").text
    monkeypatch.setattr(Coursework, "export", down)
    assert service.page("/admin/people/bea/data.zip").status_code == 409
    monkeypatch.setattr(Coursework, "export", export)
    data = service.page("/admin/people/bea/data.zip").content
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        about = json.loads(made.read("usage.json"))
        assert made.read("coursework.zip") == b"PK"
    assert about["people"][0]["email"] == "bea@kt.com"
    assert service.page("/admin/people/ghost/data.zip").status_code == 404
    monkeypatch.setattr(Coursework, "erase", down)
    form = {"reason": "asked for it", "again": "cal"}
    assert service.send("/admin/people/bea/erase", **form).status_code == 409
    assert service.send("/admin/people/cal/erase", **form).status_code == 303
    assert "asked for it" in service.page("/admin/people").text


@pytest.mark.parametrize("name", ["cohorts", "new", "machines", "reports", "audit", "settings"])
def test_instructors_stay_out_of_what_is_not_theirs(
    service: Running, pages: dict[str, str], name: str
) -> None:
    service.sign_in("teach")
    assert service.page(pages[name]).status_code == 403
