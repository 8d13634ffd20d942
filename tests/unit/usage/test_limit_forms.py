"""Each limit of a cohort from the form an admin fills in to the start it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from core.ids import new_id
from core.wire import GpuNeed, Lease, Observation, ReserveRequest, StrayProcess
from tests.unit.usage.conftest import HOUR, slot
from tests.unit.usage.server import Running, serving
from usage.client import CohortSpec, Refused
from usage.models import Cohort, Window

BASE = "/admin/cohorts/kt"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("limits")
    with serving(folder) as running:
        cli, now = running.client("key-cli"), datetime.now(UTC)
        starts, ends = (now - timedelta(days=1)), (now + timedelta(days=9))
        cli.create_cohort(
            CohortSpec("kt", "KT", "KT", starts.isoformat(), ends.isoformat(), courses=["intro"])
        )
        cli.grant("kt", 100 * HOUR, "admin", "contract", "first")
        for name in ("ann", "bob"):
            cli.enrol("kt", name)
        cli.enrol("kt", "teacher", "instructor")
        running.client("key-agent").put_inventory("h1", [slot(n) for n in range(4)])
        yield running


@pytest.fixture(autouse=True)
def root(service: Running) -> Iterator[None]:
    """The site's admin fills in the forms; afterwards nobody has a lab and no limit is left."""
    service.sign_in("root", admin=True)
    yield
    for charge in service.client("key-cli").charges("kt"):
        if charge.state != "ended":
            service.client("key-hub").release(charge.lease_id, None, "stopped")
    service.sign_in("root", admin=True)
    assert service.send(f"{BASE}/limits").status_code == 303


def limit(service: Running, **form: str) -> None:
    answer = service.send(f"{BASE}/limits", **form)
    assert answer.status_code == 303, answer.text[-2000:]


def start(service: Running, who: str) -> Lease:
    ask = ReserveRequest(new_id("spawn"), who, "kt", "intro", "first", GpuNeed())
    return service.client("key-hub").reserve(ask)


def use(service: Running, who: str, seconds: int) -> None:
    lease = start(service, who)
    service.client("key-hub").activate(lease.id, "c")
    service.client("key-hub").release(lease.id, seconds * 1000, "stopped")


def test_a_learners_share(service: Running) -> None:
    limit(service, learner_hours="0.05")
    use(service, "ann", 180)
    with pytest.raises(Refused, match="Your own share of the GPU time"):
        start(service, "ann")
    start(service, "bob")


def test_a_learners_day(service: Running) -> None:
    limit(service, daily_hours="0.0001")
    with pytest.raises(Refused) as caught:
        start(service, "bob")
    assert caught.value.refusal.code == "daily_cap_used"


def test_the_longest_lab(service: Running) -> None:
    limit(service, lab_max_minutes="7")
    assert start(service, "bob").limit_ms == 7 * 60_000


def test_labs_at_the_same_time(service: Running) -> None:
    limit(service, max_gpu_labs="1")
    start(service, "bob")
    with pytest.raises(Refused, match="runs its 1 GPU labs already"):
        start(service, "teacher")


def test_what_instructors_may_grant(service: Running) -> None:
    limit(service, allowance_hours="1.5")
    limit(service)
    with service.app.state.usage.database.read() as session:
        assert session.get_one(Cohort, "kt").allowance == HOUR * 3 // 2, "empty: it stays"
    refused = service.send(f"{BASE}/limits", allowance_hours="-1")
    assert refused.status_code == 409
    assert "cannot be less than zero" in refused.text
    service.sign_in("teacher")
    assert service.send(f"{BASE}/limits", allowance_hours="9").status_code == 403


def test_a_window_with_labs_started_before(service: Running) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    form = {
        "starts": tomorrow.strftime("%Y-%m-%dT%H:%M"),
        "ends": (tomorrow + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        "seats": "2",
    }
    assert service.send(f"{BASE}/windows", **form, prestart="nope/first").status_code == 409
    assert service.send(f"{BASE}/windows", **form, prestart="intro/first").status_code == 303
    page = service.page(f"{BASE}/settings").text
    assert 'value="intro/first"' in page
    assert 'value="intro/plain"' not in page, "only labs with a GPU hold places"
    with service.app.state.usage.database.read() as session:
        (window,) = session.scalars(select(Window)).all()
        assert (window.course, window.lab) == ("intro", "first")


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"learner_hours": "-1"}, "must be more than zero"),
        ({"learner_hours": "many"}, "not a number of GPU-hours"),
        ({"daily_hours": "9" * 16}, "too large to be meant"),
        ({"lab_max_minutes": "0"}, "must be from 1 to 10080"),
        ({"lab_max_minutes": "ten"}, "not a whole number"),
        ({"max_gpu_labs": "-3"}, "must be from 1 to 10000"),
        ({"ends": "2026-13-01T00:00"}, "not a time"),
        ({"ends": "1999-01-01T00:00"}, "not a time"),
        ({"ends": "2001-01-01T00:00"}, "must come after its start"),
    ],
)
def test_limits_that_cannot_be(service: Running, form: dict[str, str], words: str) -> None:
    answer = service.send(f"{BASE}/limits", **form)
    assert answer.status_code == 409
    assert words in answer.text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"kind": "grant", "hours": "-5", "reason": "x"}, "must be more than zero"),
        ({"kind": "grant", "hours": "0", "reason": "x"}, "must be more than zero"),
        ({"kind": "top-up", "hours": "400000", "reason": "x"}, "too large to be meant"),
        ({"kind": "top-up", "hours": "1e999999999", "reason": "x"}, "not a number"),
        ({"kind": "correction", "hours": "-1000", "reason": "x"}, "cannot take back what is used"),
        ({"kind": "gift", "hours": "5", "reason": "x"}, "no kind of entry"),
        ({"kind": "grant", "hours": "5", "reason": " "}, "Give a reason"),
        ({"kind": "grant", "hours": "nan", "reason": "x"}, "not a number of GPU-hours"),
    ],
)
def test_budgets_that_cannot_be(service: Running, form: dict[str, str], words: str) -> None:
    before = service.client("key-cli").budget("kt")
    answer = service.send(f"{BASE}/entries", **form, key="once")
    assert answer.status_code == 409
    assert words in answer.text
    assert service.client("key-cli").budget("kt") == before


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["GPU processes without a lease", "miner", "On the machine itself"]),
        ("ko", ["배정 없이 GPU를 쓰는 프로세스", "miner", "서버에서 직접 실행"]),
    ],
)
def test_processes_without_a_lease_are_on_the_machines_page(
    service: Running, language: str, words: list[str]
) -> None:
    stray = StrayProcess("GPU-1", "GPU-1", 4711, "miner", "", 900, "no_container")
    agent = service.client("key-agent")
    assert agent.observe("h1", Observation("boot-1", [], [stray])) == []
    page = service.page("/admin/machines", language)
    agent.observe("h1", Observation("boot-1", []))
    assert page.status_code == 200
    for word in words:
        assert word in page.text
    assert words[0] not in service.page("/admin/machines", language).text
