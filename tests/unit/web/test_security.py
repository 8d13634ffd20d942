"""Where a redirect may go, and which posts count as ours."""

from __future__ import annotations

import pytest

from web import security


@pytest.mark.parametrize("path", ["/", "/services/usage/?a=1&b=%2F", "/hub/home#part", "/가/나"])
def test_a_path_on_this_site_is_kept(path: str) -> None:
    assert security.local_path(path, "/else") == path


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "services/usage",
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\\b",
        "/\t/evil.example",
        "/a\r\nSet-Cookie: x=1",
        "javascript:alert(1)",
        " /services",
        "/a\x7fb",
    ],
)
def test_everything_else_is_replaced(target: str | None) -> None:
    assert security.local_path(target, "/else") == "/else"


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://dli.example"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://dli.example"}, True),
        ({"origin": "null"}, False),
        ({"origin": "http://dli.example"}, False),
        ({}, True),
    ],
)
def test_whose_post_it_is(headers: dict[str, str], ours: bool) -> None:
    assert security.from_our_site(headers, security.origin_of("https://DLI.example/x")) is ours


@pytest.mark.parametrize(
    ("headers", "exempt"),
    [
        ({"authorization": "token abc"}, True),
        ({"authorization": "Bearer abc"}, True),
        ({"authorization": "Basic eDp5"}, False),  # from http://x:y@host/ in a link
        ({"authorization": "Negotiate abc"}, False),
        ({"authorization": ""}, False),
        ({}, False),
    ],
)
def test_only_a_token_stands_in_for_a_page(headers: dict[str, str], exempt: bool) -> None:
    assert security.by_token(headers) is exempt


def test_a_token_belongs_to_one_cookie_one_session_and_one_key() -> None:
    token = security.csrf_token(b"key", "cookie", "session")
    assert token == security.csrf_token(b"key", "cookie", "session")
    others = {
        security.csrf_token(b"other", "cookie", "session"),
        security.csrf_token(b"key", "other", "session"),
        security.csrf_token(b"key", "cookie", "other"),
        security.csrf_token(b"key", "cookiesession", ""),
    }
    assert token not in others
    assert len(others) == 4
