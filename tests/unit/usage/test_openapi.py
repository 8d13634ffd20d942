"""Whatever fits the API's own description, and whatever does not, no request ends in a server
error. schemathesis makes the requests from the OpenAPI document."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings

from core import secrets
from core.settings import Settings
from tests.unit.usage.conftest import World, slot
from tests.unit.usage.server import COURSE, Running, serving
from usage import app as usage_app
from usage.refusals import No

KEYS = ("key-cli", "key-hub", "key-agent", "key-worker")
EXAMPLES = 12


def _document() -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        secrets.ensure(folder)
        course = folder / "courses" / "intro"
        for lab in ("first", "plain"):
            (course / "labs" / lab).mkdir(parents=True)
            (course / "labs" / lab / "a.ipynb").write_text("{}")
        (course / "course.toml").write_text(COURSE, encoding="utf-8")
        made = usage_app.create_app(Settings(state_dir=folder, courses_dir=folder / "courses"))
        made.state.usage.database.close()
        return made.openapi()


OPERATIONS = [
    result.ok() for result in schemathesis.openapi.from_dict(_document()).get_all_operations()
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("openapi")) as running:
        running.sign_in("ann", admin=True)
        yield running


def _call(service: Running, case: schemathesis.Case, base: str) -> Any:
    """The first answer that is not "wrong key"."""
    for key in KEYS if "/api/internal" in case.operation.path else KEYS[:1]:
        bearer = {"Authorization": f"Bearer {secrets.load(service.folder, key)}"}
        answer = _answer(case, base, bearer)
        if answer.status_code not in (401, 403):
            break
    return answer


def _answer(case: schemathesis.Case, base: str, headers: dict[str, str]) -> Any:
    """The answer; of a live stream, which does not end by itself, only its beginning."""
    if not case.operation.path.endswith("/events"):
        return case.call(base_url=base, headers=headers, timeout=90, allow_redirects=False)
    given = case.as_transport_kwargs(base_url=base, headers=headers)
    with requests.request(**given, timeout=90, allow_redirects=False, stream=True) as answer:
        if answer.status_code >= 400:
            answer.content  # noqa: B018 # read while the connection is open, for the message
        return answer


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method.upper()} {o.path}")
def test_no_request_ends_in_a_server_error(service: Running, operation) -> None:
    root = service.url.removesuffix("/services/usage")
    base = root if operation.path.startswith("/services/usage") else service.url

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        answer = _call(service, case, base)
        assert answer.status_code < 500, f"{answer.status_code}: {answer.text[:500]}"
        assert answer.status_code != 405

    ask()


HUGE = 10**30
SLOT = asdict(slot(1))
COHORT = {
    "id": "kt",
    "name": "n",
    "starts": "2026-11-01T00:00:00+09:00",
    "ends": "2036-12-30T00:00:00+09:00",
    "courses": ["intro"],
}
NEED = {"isolation": "mig", "memory_mb": HUGE, "count": HUGE}
ASK = {"spawn_id": "s", "username": "ann", "cohort": "kt", "course": "intro", "lab": "x"}


@pytest.mark.parametrize(
    ("method", "path", "key", "body"),
    [
        ("PUT", "/hosts/h1/inventory", "key-agent", [{**SLOT, "memory_mb": HUGE}]),
        ("PUT", "/hosts/h1/inventory", "key-agent", [{**SLOT, "weight": HUGE}]),
        ("PUT", "/cohorts/kt", "key-cli", {**COHORT, "allowance": HUGE}),
        ("PUT", "/cohorts/kt", "key-cli", {**COHORT, "starts": "0001-01-01T00:00:00+09:00"}),
        ("PUT", "/cohorts/kt", "key-cli", {**COHORT, "ends": "9999-12-31T23:59:59-09:00"}),
        ("PUT", "/codes/ABCDE", "key-cli", {"cohort": "kt", "seats": HUGE}),
        ("PUT", "/codes/ABCDE", "key-cli", {"cohort": "kt", "seats": 5, "expires": "0001-01-01"}),
        ("POST", "/leases", "key-hub", {**ASK, "need": NEED}),
        ("POST", "/leases/x/release", "key-hub", {"held_ms": HUGE, "reason": "x"}),
    ],
)
def test_absurd_numbers_and_times_are_refused(
    service: Running, method: str, path: str, key: str, body: object
) -> None:
    bearer = {"Authorization": f"Bearer {secrets.load(service.folder, key)}"}
    url = f"{service.url}/api/internal{path}"
    answer = httpx.request(method, url, headers=bearer, json=body, timeout=90)
    assert answer.status_code in (409, 422), answer.text


def test_an_absurd_held_time_is_no_charge(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    lease = world.running("ann")
    world.beat((lease, 20_000))
    world.beat((lease, HUGE))
    world.beat((lease, -5))
    assert world.state(lease).held_ms == 20_000
    with pytest.raises(No, match="number_out_of_range"):
        world.usage.release(lease.id, HUGE, "stopped", False)


def test_the_document_names_the_whole_api() -> None:
    paths = {operation.path.removeprefix("/services/usage") for operation in OPERATIONS}
    assert {"/api/internal/leases", "/api/me/status", "/start", "/events"} <= paths
