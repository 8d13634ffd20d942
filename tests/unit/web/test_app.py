"""The application around a service's routes, without a Hub: errors, headers, assets, language."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from core import secrets
from core.settings import Settings
from web.app import create_app

BASE = "http://127.0.0.1:8000"
PREFIX = "/services/usage"


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """A service with a few routes."""
    secrets.ensure(tmp_path)
    app = create_app(Settings(state_dir=tmp_path), "usage", tmp_path / "room")

    @app.get("/number/{value}")
    def number(value: int) -> dict[str, int]:
        return {"value": value}

    @app.get("/api/number/{value}")
    def api_number(value: int) -> dict[str, int]:
        return {"value": value}

    @app.get("/codes/{code}/sheet")
    def sheet(code: str) -> dict[str, str]:
        return {"code": code}

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret cause")

    @app.get("/api/broken")
    def api_broken() -> None:
        raise RuntimeError("the secret cause")

    return app


async def _get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        return await client.get(PREFIX + path, headers=given)


def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    """One request to the application."""
    import asyncio

    return asyncio.run(_get(app, path, **headers))


def post(app: FastAPI, path: str, data: dict[str, str], cookies: dict[str, str]) -> httpx.Response:
    """One form, sent as a browser on our own site sends it."""
    import asyncio

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as client:
            return await client.post(PREFIX + path, data=data)

    return asyncio.run(send())


def test_pages_are_reached_below_the_prefix(app: FastAPI) -> None:
    assert get(app, "/number/3").json() == {"value": 3}
    assert get(app, "/healthz").text == "ok\n"


@pytest.mark.parametrize(
    ("path", "status", "korean"),
    [
        ("/nothing", 404, "페이지를 찾을 수 없습니다"),
        ("/number/many", 422, "입력한 내용을 확인해 주세요"),
        ("/broken", 500, "시스템에 문제가 생겼습니다"),
    ],
)
def test_errors_are_pages_in_the_readers_language(
    app: FastAPI, path: str, status: int, korean: str
) -> None:
    page = get(app, path, Accept_Language="ko")
    assert page.status_code == status
    assert korean in page.text
    assert "secret cause" not in page.text
    assert 'lang="en"' in get(app, path, Accept_Language="en").text.split(">")[1]


def test_errors_of_the_api_are_json(app: FastAPI) -> None:
    assert get(app, "/api/nothing").json()["error"] == "Not Found"
    problem = get(app, "/api/number/many").json()["problems"][0]
    assert problem["where"] == "value"
    fault = get(app, "/api/broken")
    assert fault.status_code == 500
    assert "secret cause" not in fault.text


@pytest.mark.parametrize("path", ["/number/3", "/nothing", "/broken", "/static/dli.css"])
def test_every_answer_carries_the_security_headers(app: FastAPI, path: str) -> None:
    headers = get(app, path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_no_template_needs_inline_scripts_or_styles() -> None:
    from web.pages import TEMPLATES

    for file in TEMPLATES.rglob("*.html"):
        text = file.read_text()
        assert " style=" not in text, file
        assert " onclick=" not in text, file
        assert "<script>" not in text, file


def test_assets_are_kept_for_ever_under_their_hash(app: FastAPI) -> None:
    version = app.state.assets.version("dli.css")
    assert "immutable" in get(app, f"/static/dli.css?v={version}").headers["cache-control"]
    assert get(app, "/static/dli.css?v=old").headers["cache-control"] == "no-cache"
    assert get(app, "/static/dli.css").headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2Fapp.py", "%2e%2e/app.py", "/etc/passwd", "none.css", "bootstrap"]
)
def test_nothing_else_is_served(app: FastAPI, name: str) -> None:
    assert get(app, f"/static/{name}").status_code == 404


def test_language_is_kept_and_the_way_back_stays_here(app: FastAPI) -> None:
    cookie = {app.state.sign_in.csrf_cookie: "a-cookie"}
    page = get(app, "/nothing", Cookie="dli-usage-csrf=a-cookie")
    token = page.text.split('name="_csrf" value="')[1].split('"')[0]
    for target, back in (
        ("/services/grader/?a=1", "/services/grader/?a=1"),
        ("https://evil.example/", "/services/usage/"),
        ("//evil.example/", "/services/usage/"),
    ):
        form = {"language": "en", "next": target, "_csrf": token}
        answer = post(app, "/language", form, cookie)
        assert answer.status_code == 303
        assert answer.headers["location"] == back
        assert "dli_lang=en" in answer.headers["set-cookie"]
    wrong = post(app, "/language", {"language": "xx", "_csrf": token}, cookie)
    assert "dli_lang" not in wrong.headers.get("set-cookie", "")


def test_requests_are_logged_without_their_query(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        get(app, "/number/3?code=a-sign-in-code")
    lines = [record for record in caplog.records if record.getMessage() == "request"]
    assert [getattr(line, "dli", {})["path"] for line in lines] == ["/services/usage/number/3"]
    ours = [record for record in caplog.records if record.name != "httpx"]  # the test's client
    assert "a-sign-in-code" not in repr([vars(record) for record in ours])


def test_an_event_code_in_the_path_is_not_logged(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert get(app, "/codes/AUTUMN%2D12/sheet").json() == {"code": "AUTUMN-12"}
    (line,) = [vars(record)["dli"] for record in caplog.records if record.getMessage() == "request"]
    assert line["path"] == "/services/usage/codes/…/sheet"


def test_simulated_gpus_are_said_on_every_page(app: FastAPI) -> None:
    assert "H100" not in get(app, "/nothing").text
    run = app.state.settings.state_dir / "run"
    run.mkdir()
    (run / "simulated-gpu").write_text("2x NVIDIA H100 80GB, MIG 7\n")
    assert "2x NVIDIA H100 80GB, MIG 7" in get(app, "/nothing").text
