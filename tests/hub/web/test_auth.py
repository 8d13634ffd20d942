"""Signing in through a real Hub, and everything that must not work without it."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from core import secrets
from tests.hub.web.conftest import HubSite
from tests.people import Person

SERVICE = "/services/usage/"


@pytest.fixture(scope="module")
def minji(site: HubSite) -> Person:
    """A trainee, signed in."""
    return site.browser("minji")


def _plain(site: HubSite) -> httpx.Client:
    return httpx.Client(base_url=site.url, trust_env=False, timeout=30)


def _token(page: str) -> str:
    found = re.search(r'name="_csrf" value="([0-9a-f]+)"', page)
    assert found
    return found.group(1)


def test_a_browser_is_sent_to_the_hub_and_comes_back_to_its_page(site: HubSite) -> None:
    person = Person(site.url)
    first = person.http.get(SERVICE + "number/3?x=1", follow_redirects=False)
    assert first.status_code == 200  # open to all
    start = person.http.get(SERVICE + "whoami?x=1", follow_redirects=False)
    assert start.status_code == 303
    assert "code_challenge_method=S256" in start.headers["location"]
    login = person.http.get(start.headers["location"])
    assert login.url.path == "/hub/login"
    back = person.http.post(
        str(login.url),
        data={
            "username": "returning",
            "password": "test-password-1",
            "_xsrf": person.http.cookies["_xsrf"],
        },
    )
    assert back.url.path == SERVICE + "whoami"
    assert back.url.query == b"x=1"
    assert back.json() == {"name": "returning", "admin": False}


def test_the_session_cookie_is_hidden_bound_to_the_path_and_unreadable(minji: Person) -> None:
    cookie = next(c for c in minji.http.cookies.jar if c.name == "dli-usage-session")
    assert cookie.path == SERVICE
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert "token" not in (cookie.value or "")


def test_admins_are_told_apart(site: HubSite, minji: Person) -> None:
    assert minji.http.get(SERVICE + "admin").status_code == 403
    assert site.browser("boss").http.get(SERVICE + "admin").json() == {"name": "boss"}


def test_a_changed_cookie_is_no_sign_in(site: HubSite, minji: Person) -> None:
    value = next(c.value for c in minji.http.cookies.jar if c.name == "dli-usage-session")
    assert value
    broken = value[:-8] + ("A" * 8)
    with _plain(site) as other:
        answer = other.get(SERVICE + "whoami", headers={"Cookie": f"dli-usage-session={broken}"})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/hub/api/oauth2/authorize")


def test_a_callback_without_its_own_state_is_refused(site: HubSite, minji: Person) -> None:
    """Sign-in forgery: a code of somebody else's sign-in is not taken."""
    for query in ("code=abc&state=forged", "code=abc", "state=forged", ""):
        assert minji.http.get(f"{SERVICE}oauth_callback?{query}").status_code == 403
    with _plain(site) as other:
        start = other.get(SERVICE + "whoami")
        state = httpx.URL(start.headers["location"]).params["state"]
        answer = other.get(f"{SERVICE}oauth_callback?code=never-given&state={state}")
        assert answer.status_code == 403
        assert "dli-usage-session" not in answer.headers.get("set-cookie", "")


def test_the_api_answers_401_in_json(site: HubSite) -> None:
    with _plain(site) as client:
        answer = client.get(SERVICE + "api/person")
        assert answer.status_code == 401
        assert answer.json()["message"]


def test_htmx_without_a_sign_in_loads_the_page_again(site: HubSite) -> None:
    with _plain(site) as client:
        headers = {
            "HX-Request": "true",
            "HX-Current-URL": "https://evil.example/services/usage/?a=1",
        }
        answer = client.get(SERVICE + "whoami", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["hx-redirect"] == "/services/usage/?a=1"


def test_a_lab_is_known_by_its_token(site: HubSite, minji: Person) -> None:
    started = minji.http.post(
        "/hub/api/users/minji/server",
        params={"_xsrf": minji.http.cookies.get("_xsrf", path="/hub/")},
    )
    assert started.status_code in (201, 202), started.text
    file = site.settings.state_dir / "token-minji"
    deadline = time.monotonic() + 120
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with _plain(site) as client:
        right = client.get(
            SERVICE + "api/lab", headers={"Authorization": f"token {file.read_text()}"}
        )
        assert right.json() == {"name": "minji"}
        for wrong in ("token nonsense", "token", "Basic abc", f"Bearer {file.read_text()}"):
            answer = client.get(SERVICE + "api/lab", headers={"Authorization": wrong})
            assert answer.status_code == 401, wrong
        service = secrets.load(site.settings.state_dir, "usage-hub-token")
        answer = client.get(SERVICE + "api/lab", headers={"Authorization": f"token {service}"})
        assert answer.status_code == 401, "a service is not a lab"


def test_our_processes_are_known_by_their_key(site: HubSite) -> None:
    folder = site.settings.state_dir
    with _plain(site) as client:

        def ask(value: str) -> httpx.Response:
            return client.get(SERVICE + "api/internal", headers={"Authorization": value})

        for name in ("key-hub", "key-cli"):
            assert ask(f"Bearer {secrets.load(folder, name)}").json() == {"caller": name}
        assert ask(f"Bearer {secrets.load(folder, 'key-agent')}").status_code == 401
        assert ask("Bearer nonsense").status_code == 401
        assert ask("Bearer").status_code == 401
        assert client.get(SERVICE + "api/internal").status_code == 401


def test_a_post_needs_the_page_that_was_shown_to_this_browser(site: HubSite, minji: Person) -> None:
    token = _token(minji.http.get(SERVICE).text)

    def post(data: dict[str, str], **headers: str) -> httpx.Response:
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return minji.http.post(SERVICE + "note", data=data, headers=given)

    assert "kept text" in post({"text": "kept text", "_csrf": token}).text
    assert post({"text": "x"}).status_code == 403
    assert post({"text": "x", "_csrf": "0" * 64}).status_code == 403
    assert post({"text": "x", "_csrf": token}, Sec_Fetch_Site="cross-site").status_code == 403
    assert post({"text": "x", "_csrf": token}, Sec_Fetch_Site="same-site").status_code == 403
    assert post({"text": "x", "_csrf": token}, Origin="https://evil.example").status_code == 403
    ours = post({"text": "x", "_csrf": token}, Origin=site.url, Sec_Fetch_Site="same-origin")
    assert ours.status_code == 200
    assert post({"text": "x"}, X_CSRF_Token=token).status_code == 200
    other = site.browser("jiho")
    foreign = _token(other.http.get(SERVICE).text)
    assert post({"text": "x", "_csrf": foreign}).status_code == 403


def test_signing_out_ends_it_here_and_in_the_hub(site: HubSite) -> None:
    person = site.browser("leaver")
    kept = next(c.value for c in person.http.cookies.jar if c.name == "dli-usage-session")
    page = person.http.get(SERVICE).text
    out = person.http.post(SERVICE + "logout", data={"_csrf": _token(page)})
    assert out.url.path == "/hub/login"
    assert person.http.get(SERVICE + "whoami").url.path == "/hub/login"
    # The token behind the old cookie is revoked too, not only forgotten by this browser.
    with _plain(site) as thief:
        cookie = {"Cookie": f"dli-usage-session={kept}; jupyterhub-session-id=other"}
        assert thief.get(SERVICE + "whoami", headers=cookie).status_code == 303


def test_an_expired_sign_in_form_is_shown_again(site: HubSite) -> None:
    with _plain(site) as client:
        answer = client.post(
            "/hub/login?next=%2Fservices%2Fusage%2F",
            data={"username": "minji", "password": "x", "_xsrf": "old"},
            headers={"Accept-Language": "ko", "Sec-Fetch-Mode": "navigate"},
        )
        assert answer.status_code == 403
        assert "로그인 화면을 연 지 오래되었습니다" in answer.text
        assert 'value="minji"' in answer.text


def test_without_the_hub_pages_say_so_and_recover(site: HubSite) -> None:
    person = site.browser("patient", "ko")
    site.stop("hub")
    try:
        address = f"http://127.0.0.1:{site.settings.ports.usage}"
        cookies = "; ".join(
            f"{c.name}={c.value}" for c in person.http.cookies.jar if c.name.startswith("dli-")
        )
        with httpx.Client(base_url=address, trust_env=False) as client:
            # Another session id: the answer of a moment ago is not believed for it.
            headers = {"Cookie": f"{cookies}; jupyterhub-session-id=fresh", "Accept-Language": "ko"}
            answer = client.get(SERVICE + "whoami", headers=headers)
            assert answer.status_code == 503
            assert "로그인 서비스가 지금 응답하지 않습니다" in answer.text
            assert client.get(SERVICE + "healthz").status_code == 200
    finally:
        site.start_hub()
    assert site.browser("patient").http.get(SERVICE + "whoami").json()["name"] == "patient"
