"""What the platform wrote into its books itself is read in the reader's language."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from usage import audit, reasons, texts
from usage.audit import AuditRow
from web import i18n


@pytest.fixture(autouse=True)
def _korean() -> Iterator[None]:
    i18n.use("ko", (texts.LOCALE,))
    yield
    i18n.use("en")


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("request of ada: two more: please\nthanks", "ada 님의 요청: two more: please\nthanks"),
        ("request of 김하나", "김하나 님의 요청"),
        ("autumn: first grant", "autumn의 첫 배정"),
        ("cohort autumn", "autumn의 자료 보관 기간이 끝남"),
        ("prestart: the time before it was opened", "미리 시작한 실습: 열기 전까지의 시간"),
        ("The cohort asked for it", "The cohort asked for it"),
        ("first-course/gpu-lab", "first-course/gpu-lab"),
        ("", ""),
    ],
)
def test_reasons(kept: str, said: str) -> None:
    assert reasons.said(kept) == said


def test_the_fault_is_said_too() -> None:
    kept = "platform fault: start_timeout"
    assert texts.reason("start_timeout") in reasons.said(kept)
    assert not reasons.said(kept).isascii()


@pytest.mark.parametrize("code", ["graded", "grading failed"])
def test_ends_of_grading_leases_have_words(code: str) -> None:
    assert texts.reason(code) != code


def test_what_holds_an_erasure_up() -> None:
    assert reasons.problem("grader: ConnectError: refused") == (
        "과제 서비스가 응답하지 않습니다 (ConnectError: refused)"
    )
    assert reasons.problem("something else") == "something else"


def test_facts_of_the_audit_log() -> None:
    when = "2027-03-31T15:00:00+00:00"
    row = AuditRow(details=json.dumps({"until": when, "fields": ["timezone", "allowance"]}))
    said = audit.details(row, "Asia/Seoul")
    assert "2027" in said
    assert when not in said
    assert "timezone" not in said
    assert "allowance" not in said
    assert audit.details(AuditRow(details='{"until": ""}'), "Asia/Seoul").endswith("–")
