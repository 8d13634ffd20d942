"""Whatever fits the API's own description, and whatever does not, no request ends in a server
error. schemathesis makes the requests from the OpenAPI document."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from core import secrets
from core.settings import Settings
from tests.unit.usage.server import COURSE, Running, serving
from usage import app as usage_app

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


def _call(service: Running, case: schemathesis.Case, base: str) -> httpx.Response:
    """The first answer that is not "wrong key"."""
    for key in KEYS if "/api/internal" in case.operation.path else KEYS[:1]:
        bearer = {"Authorization": f"Bearer {secrets.load(service.folder, key)}"}
        answer = case.call(base_url=base, headers=bearer, timeout=20, allow_redirects=False)
        if answer.status_code not in (401, 403):
            break
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


def test_the_document_names_the_whole_api() -> None:
    paths = {operation.path.removeprefix("/services/usage") for operation in OPERATIONS}
    assert {"/api/internal/leases", "/api/me/status", "/start", "/live"} <= paths
