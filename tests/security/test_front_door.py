"""The real platform's front door, and labs under names of their own."""

from __future__ import annotations

import json

import httpx
import pytest

from cli import proxy
from tests.people import Person
from tests.platform import RunningPlatform, wait_for
from tests.security.conftest import HOST

pytestmark = pytest.mark.docker


def test_a_lab_has_an_origin_of_its_own(platform: RunningPlatform) -> None:
    trainee = platform.sign_in("trainee")
    trainee.start_lab("intro-dl", "01-training-by-hand", gpu=False)
    try:
        trainee.lab_ready("trainee")
        page = trainee.get("/user/trainee/lab")
        assert page.status_code == 200
        assert page.url.host == f"trainee.{HOST}"
        ours = {c.name for c in trainee.http.cookies.jar if c.domain in (HOST, f"{HOST}.local")}
        assert ours
        assert not [c for c in trainee.http.cookies.jar if c.domain_specified and c.name in ours]
        # The services' pages are not to be had on the lab's name, nor the lab on the platform's.
        elsewhere = f"http://trainee.{HOST}:{page.url.port}/services/usage/"
        assert trainee.get(elsewhere).url.host == HOST
    finally:
        trainee.stop_lab()
        wait_for("the end of the lab", lambda: not platform.server("trainee"))


def test_labs_call_the_services_by_the_gateways_address(platform: RunningPlatform) -> None:
    gateway = proxy.hub_url(platform.settings).split("//")[1].split(":")[0]
    public = f"http://127.0.0.1:{platform.settings.ports.public}/services/usage/healthz"
    assert httpx.get(public, headers={"Host": gateway}, trust_env=False).status_code == 200


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_signing_in_sends_nobody_elsewhere(platform: RunningPlatform, target: str) -> None:
    person = platform.person()
    person.http.follow_redirects = False
    page = person.http.get("/hub/login")
    fields = {"username": "trainee", "password": platform.passwords["trainee"],
              "_xsrf": person.xsrf()}  # fmt: skip
    answer = person.http.post(
        "/hub/login", params={"next": target}, data=fields, headers={"Origin": platform.url}
    )
    assert page.status_code == 200
    assert answer.status_code == 302, answer.text[:500]
    where = page.url.join(answer.headers["location"])
    assert where.host == HOST


HOSTILE = [
    "x" * 1_000_000,
    'kim\n{"event": "forged"}',
    "kim\r\nforged: line",
    "kim\x1b[2J",
    "../kim",
]


@pytest.mark.parametrize("name", HOSTILE, ids=["1 MB", "line", "crlf", "escape", "path"])
def test_no_name_breaks_the_sign_in_or_the_log(platform: RunningPlatform, name: str) -> None:
    log = platform.settings.state_dir / "logs" / "hub.log"
    before = log.stat().st_size
    with Person(platform.url) as person:
        page = person.submit("/hub/login", {"username": name, "password": "x"}, "login")
    assert page.status_code in (200, 400, 403, 413), page.status_code
    assert len(page.content) < 100_000
    written = log.read_bytes()[before:]
    assert len(written) < 50_000
    for line in written.decode().splitlines():
        assert not line.startswith(('{"event"', "forged"))
        assert "\x1b" not in line
        if line.startswith("{"):
            assert "at" in json.loads(line)


def test_guessing_is_stopped(platform: RunningPlatform) -> None:
    with Person(platform.url) as person:
        for _try in range(6):
            page = person.submit("/hub/login", {"username": "admin", "password": "no"}, "login")
        right = {"username": "admin", "password": platform.passwords["admin"]}
        page = person.submit("/hub/login", right, "login")
        assert "/hub/login" in str(page.url)
