"""A receipt as a file, and whether anybody can tell it from one that was made up."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.grading import Service
from tests.unit.grader.test_marking import pages, submit  # noqa: F401 (a fixture)
from tests.unit.grader.test_pages import get

pytestmark = pytest.mark.parametrize("new_url", ["SQLite"], indirect=True)


def check(service: Service, text: str, language: str = "en") -> str:
    answer = httpx.post(
        f"{service.url}/receipts",
        data={"receipt": text},
        headers={"x-person": "ines", "accept-language": language},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_downloaded_receipt_is_genuine_until_it_is_changed(pages: Service) -> None:  # noqa: F811
    mine = submit(pages, "ada")
    assert get(pages, f"/submissions/{mine}/receipt", "bob").status_code == 404
    page = get(pages, f"/submissions/{mine}", "ada").text
    assert f"/submissions/{mine}/receipt" in page
    file = get(pages, f"/submissions/{mine}/receipt", "ada")
    assert f'filename="receipt-{mine}.json"' in file.headers["content-disposition"]
    given = file.json()
    said = check(pages, file.text)
    assert "This receipt is genuine" in said
    assert given["sha256"] in said.split("<textarea")[0]
    assert "진본입니다" in check(pages, file.text, "ko")
    for name, value in {
        "late": not given["late"],
        "username": "bob",
        "received_at": "2026-01-01T00:00:00+00:00",
        "attempt": 2,
        "sha256": "0" * 64,
        "more": 1,
        "signature": "\ud800",
    }.items():
        changed = check(pages, json.dumps(given | {name: value}))
        assert "something in it was changed" in changed, name
        assert "What the receipt states" not in changed


@pytest.mark.parametrize("text", ["hello", "[]", "{}", "null", '{"signature": 1}', "[" * 9000])
def test_what_is_no_receipt(pages: Service, text: str) -> None:  # noqa: F811
    assert "not a receipt of this platform" in check(pages, text)
