"""Sign-up with an event code, step by step, with the account store and the service played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from core import consent
from core.wire import Enrolment, Refusal
from hub.attempts import Attempts
from hub.signin import asked_by
from hub.signup import Form, SignUpError, sign_up
from usage.client import ConsentGiven, Refused, UsageUnavailable

TEXT = consent.read(consent.DEFAULT)
FORM = Form(
    code="AUTUMN",
    username="minji",
    name="김민지",
    email="minji@example.com",
    password="correct horse",
    again="correct horse",
    version=TEXT.version,
    accepted=("course", "news"),
)
FULL = Refused(Refusal("code_full", "All seats of this code are taken."))
OTHER = Refused(Refusal("name_rostered", "On the list with another e-mail address."))
CHANGED = Refused(Refusal("consent_changed", "The text has changed."))
DOWN = UsageUnavailable("connection refused")


@dataclass
class Accounts:
    rows: dict[str, bool] = field(default_factory=dict)

    def known(self, username: str) -> bool:
        return self.rows.get(username, False)

    def common(self, password: str) -> bool:
        return password == "1234567890"

    async def hashed(self, password: str) -> bytes:
        return f"hash of {password}".encode()

    def add(self, form: Form, secret: bytes) -> None:
        assert secret == b"hash of correct horse"
        self.rows[form.username] = False

    def authorise(self, username: str) -> None:
        self.rows[username] = True

    def remove(self, username: str) -> None:
        del self.rows[username]


@dataclass
class Codes:
    checking: Exception | None = None
    joining: Exception | None = None
    joined: list[tuple[object, ...]] = field(default_factory=list)

    def check_sign_up(self, code: str, username: str, email: str, language: str) -> None:
        if self.checking:
            raise self.checking

    def sign_up(
        self, code: str, username: str, email: str, name: str, consent: ConsentGiven
    ) -> Enrolment:
        if self.joining:
            raise self.joining
        self.joined.append((code, username, email, name, consent))
        return Enrolment("autumn", "trainee", ["intro"], True)


def attempt(form: Form, accounts: Accounts, codes: Codes) -> None:
    def say(message: str, **values: object) -> str:
        """As the sign-up page does: values always filled in."""
        return message.format(**values)

    asyncio.run(sign_up(form, accounts, codes, TEXT, "en", say))


def test_an_account_and_a_seat() -> None:
    accounts, codes = Accounts(), Codes()
    attempt(FORM, accounts, codes)
    assert accounts.rows == {"minji": True}
    given = ConsentGiven(TEXT.version, ["course", "news"], "en")
    assert codes.joined == [("AUTUMN", "minji", "minji@example.com", "김민지", given)]


@pytest.mark.parametrize(
    ("codes", "sentence", "about"),
    [
        (Codes(checking=FULL), "All seats", "code"),
        (Codes(joining=FULL), "All seats", "code"),
        (Codes(checking=DOWN), "enrolment service does not answer", ""),
        (Codes(joining=DOWN), "enrolment service does not answer", ""),
        (Codes(checking=OTHER), "another e-mail", "username"),
        (Codes(joining=CHANGED), "has changed", "consent"),
    ],
)
def test_nothing_is_half_written(codes: Codes, sentence: str, about: str) -> None:
    accounts = Accounts()
    with pytest.raises(SignUpError) as caught:
        attempt(FORM, accounts, codes)
    assert sentence in str(caught.value)
    assert caught.value.field == about
    assert accounts.rows == {}
    assert codes.joined == []


def test_an_unexpected_error_leaves_nothing_either() -> None:
    accounts = Accounts()
    with pytest.raises(RuntimeError):
        attempt(FORM, accounts, Codes(joining=RuntimeError("fault")))
    assert accounts.rows == {}


def test_a_name_in_use_is_taken_and_one_of_a_broken_sign_up_is_free() -> None:
    with pytest.raises(SignUpError, match="taken"):
        attempt(FORM, Accounts({"minji": True}), Codes())
    accounts = Accounts({"minji": False})
    attempt(FORM, accounts, Codes())
    assert accounts.rows == {"minji": True}


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"code": ""}, "code"),
        ({"username": ""}, "username"),
        ({"username": "a"}, "username"),
        ({"username": "a" * 33}, "username"),
        ({"username": "../etc"}, "username"),
        ({"username": "민지"}, "username"),
        ({"username": "min ji"}, "username"),
        ({"username": ".hidden"}, "username"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"email": "minji"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "minji@example.com\nBcc: x@y.z"}, "email"),
        ({"email": "m" * 130 + "@example.com"}, "email"),
        ({"password": "short", "again": "short"}, "password"),
        ({"password": "가" * 25, "again": "가" * 25}, "password"),
        ({"password": "1234567890", "again": "1234567890"}, "password"),
        ({"again": "something else"}, "password_again"),
        ({"accepted": ("improve", "news")}, "consent"),
    ],
)
def test_wrong_fields_are_named_before_anything_is_asked(
    change: dict[str, str], about: str
) -> None:
    codes = Codes(checking=AssertionError("asked"))
    with pytest.raises(SignUpError) as caught:
        attempt(replace(FORM, **change), Accounts(), codes)
    assert caught.value.field == about


def test_a_name_as_password_is_too_easy() -> None:
    form = replace(FORM, username="minji-kim-2026", password="minji-kim-2026")
    with pytest.raises(SignUpError, match="too easy"):
        attempt(form, Accounts(), Codes())


def test_the_form_is_cut_and_cleaned() -> None:
    typed = {"code": " AUTUMN ", "username": " MinJi ", "password": " kept ", "name": "x" * 10**6}
    form = Form.of(lambda name: typed.get(name, ""), ["course"])
    assert (form.code, form.username, form.password) == ("AUTUMN", "minji", " kept ")
    assert len(form.name) == 200


def test_attempts_block_for_a_while_and_forget() -> None:
    now = 0.0
    attempts = Attempts(3, 100, clock=lambda: now)
    for _ in range(3):
        assert attempts.blocked_s("kim") == 0
        attempts.failed("kim")
        now += 10
    assert attempts.blocked_s("kim") == 70
    assert attempts.blocked_s("lee") == 0
    now = 101
    assert attempts.blocked_s("kim") == 0
    attempts.failed("kim")
    assert attempts.blocked_s("kim") > 0
    attempts.succeeded("kim")
    assert attempts.blocked_s("kim") == 0


def test_attempts_are_bounded_in_memory() -> None:
    attempts = Attempts(3, 100)
    for number in range(10_050):
        attempts.failed(str(number))
    assert len(attempts._failures) == 10_000


def test_no_limit_blocks_nobody() -> None:
    attempts = Attempts(0, 100)
    for _ in range(3):
        attempts.failed("ann")
        assert attempts.blocked_s("ann") == 0


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
        ({"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}, "203.0.113.9"),
        ({"X-Forwarded-For": "198.51.100.1,203.0.113.9,127.0.0.1"}, "203.0.113.9"),
        ({"X-Forwarded-For": "203.0.113.9, ::ffff:127.0.0.1"}, "203.0.113.9"),
        ({"X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "198.51.100.1"}, "203.0.113.9"),
        ({"X-Real-Ip": "198.51.100.1"}, ""),
        ({"X-Forwarded-For": "127.0.0.1"}, ""),
        ({"X-Forwarded-For": ", ,"}, ""),
        ({}, ""),
    ],
)
def test_nobody_chooses_the_address_that_wrong_codes_are_counted_for(
    headers: dict[str, str], address: str
) -> None:
    assert asked_by(headers) == address
