"""The class view over HTTP: who sees it, what it says, what staff can do there."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select

from core.wire import GpuNeed, ReserveRequest
from tests.platform import wait_for
from tests.unit.usage.conftest import HOUR, MINUTE, slot
from tests.unit.usage.server import Running, serving
from usage.audit import AuditRow
from usage.classroom import announcements
from usage.classroom.coursework import Progress, Standing
from usage.client import CohortSpec, LabClient
from usage.hub import HubDown, Server

NOW = datetime.now(UTC)
CLASS = "/classes/kt"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("usage")) as running:
        cli = running.client("key-cli")
        times = [(NOW + timedelta(days=days)).isoformat() for days in (-1, 9)]
        for cohort in ("kt", "other"):
            cli.create_cohort(
                CohortSpec(cohort, cohort, "KT", *times, courses=["intro"], allowance=HOUR)
            )
        cli.grant("kt", 2 * HOUR, "admin", "contract", "k1")
        cli.enrol("kt", "ann", "trainee", name="안하나")
        cli.enrol("kt", "bea", "trainee")
        cli.enrol("kt", "ina", "instructor")
        cli.enrol("kt", "asa", "assistant")
        cli.enrol("other", "oli", "instructor")
        cli.enrol("other", "zoe", "trainee")
        running.client("key-agent").put_inventory("h1", [slot(1), slot(2)])
        yield running


@pytest.fixture(autouse=True)
def _fresh(service: Running) -> None:
    service.sign_in("ina")
    service.hub.servers.clear()
    service.hub.started.clear()
    service.hub.stopped.clear()
    service.app.state.board.forget()


def shown(service: Running, language: str = "en", query: str = "") -> str:
    service.app.state.board.forget()
    page = service.page(CLASS + query, language)
    assert page.status_code == 200, page.text[:500]
    return re.sub(r"\s+", " ", html.unescape(page.text))


def running(service: Running, who: str, gpu: str = "no") -> None:
    options = {"course": "intro", "lab": "first", "cohort": "kt", "gpu": gpu, "language": "ko"}
    service.hub.servers[who] = Server("ready", options, f"/user/{who}/", NOW, NOW)


def test_only_staff_of_the_class_sees_it(service: Running) -> None:
    for name, status in (("ann", 404), ("oli", 404), ("zoe", 404), ("asa", 200)):
        service.sign_in(name)
        assert service.page(CLASS).status_code == status, name
        assert service.page(f"{CLASS}/events").status_code == status if status == 404 else True
    service.sign_in("oli")
    for path in ("stop", "restart", "extend"):
        assert service.send(f"{CLASS}/{path}", username="ann").status_code == 404
    assert service.send(f"{CLASS}/announcements", text="x").status_code == 404
    assert service.hub.stopped == []


def test_the_class_in_both_languages(service: Running) -> None:
    running(service, "ann")
    text = shown(service)
    assert "안하나" in text
    assert "Running without GPU" in text
    assert "1 of 2" in text
    assert "First lab" in text
    assert "GPU 없이 실행 중" in shown(service, "ko")
    assert "bea" in shown(service, query="?show=off")
    assert "안하나" not in shown(service, query="?show=off")


def test_a_gpu_lab_says_when_it_stops_and_gets_more(service: Running) -> None:
    hub = service.client("key-hub")
    lease = hub.reserve(ReserveRequest("s1", "ann", "kt", "intro", "first", GpuNeed()))
    try:
        assert "Starting with GPU" in shown(service)
        hub.activate(lease.id, "c1")
        running(service, "ann", "yes")
        text = shown(service)
        assert "Running with GPU" in text
        assert "the cohort's GPU time is used up" in text
        assert "+30 min" in text
        before = service.client("key-cli").budget("kt").cap
        service.sign_in("asa")
        assert "+30 min" not in shown(service)
        assert service.send(f"{CLASS}/extend", username="ann").status_code == 403
        service.sign_in("ina")
        assert service.send(f"{CLASS}/extend", username="ann").status_code == 303
        assert service.client("key-cli").budget("kt").cap == before + 30 * MINUTE
        LabClient(service.url, "any")
        service.sign_in("ann")
        LabClient(service.url, "any").ask_for_more(20, "for the last part")
        service.sign_in("ina")
        text = shown(service, query="?show=help")
        assert "Asks for 20 GPU minutes: for the last part" in text
        request = re.search(r"requests/(request-\w+)", text)
        assert request
        answer = service.send(f"{CLASS}/requests/{request[1]}", grant="false")
        assert answer.headers["location"].endswith("?done=declined")
        assert "Nobody needs help" in shown(service, query="?show=help")
    finally:
        hub.release(lease.id, 0, "stopped")
    refused = service.send(f"{CLASS}/extend", "ko", username="ann")
    assert refused.status_code == 409
    assert "GPU 실습" in refused.text


def test_stop_reaches_only_labs_of_the_class(service: Running) -> None:
    running(service, "ann")
    running(service, "zoe")
    assert service.send(f"{CLASS}/stop", username="zoe").status_code == 409
    assert service.send(f"{CLASS}/restart", username="zoe").status_code == 409
    assert service.hub.stopped == []
    answer = service.send(f"{CLASS}/stop", username="ann")
    assert answer.headers["location"].endswith("?done=stopped")
    assert "Files stay" in shown(service, query="?done=stopped")
    assert service.hub.stopped == ["ann"]


def test_restart_starts_the_same_lab_once_it_is_gone(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(service, "ann", "yes")
    options = service.hub.servers["ann"].options

    async def stop(username: str) -> None:
        service.hub.stopped.append(username)
        del service.hub.servers[username]

    monkeypatch.setattr(service.hub, "stop", stop)
    assert service.send(f"{CLASS}/restart", username="ann").status_code == 303
    wait_for("the second start", lambda: service.hub.started, every=0.05)
    assert service.hub.started == [("ann", options)]
    answer = service.send(f"{CLASS}/restart", username="bea")
    assert answer.headers["location"].endswith("?done=no-lab")


def test_without_the_hub_the_page_says_so(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise HubDown("away")

    monkeypatch.setattr(service.hub, "all_servers", down)
    monkeypatch.setattr(service.hub, "stop", down)
    assert "does not answer right now" in shown(service)
    assert service.send(f"{CLASS}/stop", username="ann").status_code == 503


def test_progress_comes_from_the_grader(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "coursework service does not answer" in shown(service)

    async def known(course: str, cohort: str) -> Progress:
        assert (course, cohort) == ("intro", "kt")
        graded = Standing(NOW, 2, "sub-1", NOW, True, "graded", 8.5, 10.0)
        return Progress(["digits"], {"ann": {"digits": graded}, "bea": {"digits": Standing(NOW)}})

    monkeypatch.setattr(service.app.state.board, "progress", known)
    text = shown(service)
    assert "8.5 / 10" in text
    assert 'href="/services/grader/submissions/sub-1"' in text
    assert "Late" in text
    assert "Fetched" in text


def test_who_is_stuck(service: Running) -> None:
    running(service, "bea")
    service.sign_in("bea")
    report = {"busy": False, "idle_seconds": 5, "runs": 9, "errors": 8}
    url = f"{service.url}/api/me/activity"
    assert httpx.post(url, json=report).status_code == 204
    assert httpx.post(url, json={**report, "runs": -1}).status_code == 409
    service.sign_in("ina")
    text = shown(service, query="?show=help")
    assert "8 of 9 cells failed" in text
    assert "just now" in text
    assert "실행한 셀 9개 중 8개 실패" in shown(service, "ko")
    service.hub.servers.clear()
    assert "cells failed" not in shown(service)


def test_an_announcement_reaches_labs_once_and_can_be_taken_back(service: Running) -> None:
    assert service.send(f"{CLASS}/announcements", "ko", text=" ").status_code == 409
    said = service.send(f"{CLASS}/announcements", text="Break\nuntil 15:00", hours="1")
    assert said.headers["location"].endswith("?done=announced")
    service.sign_in("ann")
    lab = LabClient(service.url, "any")
    (warning,) = [w for w in lab.status("ko").warnings if w.reason == announcements.PREFIX]
    assert warning.message.startswith("ina, ")
    assert warning.message.endswith(": Break until 15:00")
    lab.seen(warning.id)
    assert [w for w in lab.status("ko").warnings if w.reason == announcements.PREFIX] == []
    assert "Break until 15:00" in service.page("/").text
    service.sign_in("zoe")
    assert lab.status("en").warnings == []
    lab.seen(warning.id)
    service.sign_in("ina")
    assert "shown in 1 of 2 labs" in shown(service)
    service.sign_in("oli")
    path = f"{CLASS}/announcements/{warning.id}/withdraw"
    assert service.send(path).status_code == 404
    service.sign_in("ina")
    assert service.send(path).status_code == 303
    service.sign_in("bea")
    assert lab.status("en").warnings == []
    assert "Break until 15:00" not in service.page("/").text


def test_a_live_stream_sends_the_class_again_when_it_changed(service: Running) -> None:
    english = {"Accept-Language": "en"}
    with httpx.stream("GET", f"{service.url}{CLASS}/events", headers=english) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        first = next(line for line in lines if line.startswith("id: "))
        running(service, "ann")
        later = [first]
        for line in lines:
            if line.startswith("id: "):
                later.append(line)
            if "Running without GPU" in line:
                break
        assert len(set(later)) == 2


def test_all_labs_are_started_and_given_back(service: Running) -> None:
    assert service.send(f"{CLASS}/prestart", lab="intro/nope").status_code == 422
    answer = service.send(f"{CLASS}/prestart", lab="intro/first", minutes="15")
    assert answer.headers["location"].endswith("?done=prestarted")
    assert "Last time:" in shown(service)
    assert service.send(f"{CLASS}/prestart/cancel").status_code == 303


def test_what_staff_did_is_in_the_audit_log(service: Running) -> None:
    running(service, "bea")
    service.send(f"{CLASS}/stop", username="bea")
    service.send(f"{CLASS}/announcements", text="Lunch")
    with service.app.state.usage.database.read() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
    acts = [(r.actor, r.action, r.scope, r.target) for r in rows[-2:]]
    assert acts[0] == ("ina", "lab.stop", "kt", "bea")
    assert acts[1][:3] == ("ina", "announcement.send", "kt")
