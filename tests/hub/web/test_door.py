"""The doors of a real Hub: whose lab opens for whom, and guessing event codes."""

from __future__ import annotations

import httpx

from core import secrets
from hub import door
from hub.signin import _CODE_ATTEMPTS
from tests.hub.web.conftest import HubSite
from tests.people import Person, words


def test_the_owner_gets_a_cookie_for_the_own_lab_alone(site: HubSite) -> None:
    person = site.browser("door-owner")
    answer = person.http.get("/hub/door?next=/user/door-owner/lab%3Fx=1", follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"] == "/user/door-owner/lab?x=1"
    (cookie,) = [c for c in person.http.cookies.jar if c.name == door.COOKIE]
    assert cookie.path == "/user/door-owner/"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    key = secrets.load(site.settings.state_dir, "lab-door")
    assert cookie.value == door.cookie(key, "door-owner") != door.cookie(key, "somebody")


def test_nobody_gets_the_cookie_of_somebody_elses_lab(site: HubSite) -> None:
    person = site.browser("door-stranger")
    for target in ("/user/door-owner/lab", "/user/door-stranger/../door-owner/", "/hub/home", ""):
        answer = person.http.get("/hub/door", params={"next": target}, follow_redirects=False)
        assert answer.status_code == 403, target
    assert door.COOKIE not in person.http.cookies
    nobody = Person(site.url)
    answer = nobody.http.get("/hub/door?next=/user/door-owner/lab", follow_redirects=False)
    assert answer.headers["location"].startswith("/hub/login")
    assert door.COOKIE not in nobody.http.cookies


def _at(site: HubSite, address: str) -> Person:
    """Somebody on the sign-up page, as a proxy on this machine passes them on from `address`."""
    person = Person(site.url)
    person.http.headers["X-Forwarded-For"] = address
    person.http.get("/hub/signup")
    return person


def _join(person: Person, code: str, username: str) -> httpx.Response:
    form = {
        "code": code,
        "username": username,
        "name": "Kim",
        "email": "kim@example.com",
        "password": "a good password",
        "password_again": "a good password",
        "consent": ["course"],
        "consent_version": "",
        "_xsrf": person.http.cookies["_xsrf"],
    }
    return person.http.post("/hub/signup", data=form, follow_redirects=False)


def test_guessing_codes_ends_for_one_address(site: HubSite) -> None:
    """The right code does not help either then; people elsewhere are not held up."""
    guesser, other = _at(site, "203.0.113.7"), _at(site, "203.0.113.8")
    for number in range(_CODE_ATTEMPTS.limit):
        assert _join(guesser, f"GUESS-{number}", "guesser").status_code == 400
    refused = _join(guesser, "TEST-CODE", "guesser")
    assert refused.status_code == 503
    assert "Too many wrong codes" in words(refused)
    assert _join(other, "TEST-CODE", "not-a-guesser").status_code == 302
