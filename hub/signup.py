"""Sign-up with an event code: the rules for each field, and the steps in their order.

Nothing stays half-written: the account is stored without the right to sign in, then the seat is
taken at the usage service, then the right is given. A failure between takes the account away.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from core.consent import Consent
from core.i18n import N_
from core.wire import Enrolment
from usage.client import ConsentGiven, Refused, UsageUnavailable

MINIMUM_PASSWORD = 10
MOST_PASSWORD_BYTES = 72
"""bcrypt reads no more."""

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
_EMAIL = re.compile(r"[A-Za-z0-9.+_-]+@[A-Za-z0-9._-]+\.[A-Za-z]+")

T = TypeVar("T")


class Say(Protocol):
    """A message in the reader's language, with its ``{values}`` filled in."""

    def __call__(self, message: str, **values: object) -> str: ...


USAGE_DOWN = N_(
    "Sign-up is not possible at the moment because the enrolment service does not answer. "
    "Nothing was saved. Please try again in a few minutes."
)
NAME_TAKEN = N_("This user name is already taken. Please choose another one.")
CONSENT_NEEDED = N_("Without your consent to “{item}” no account can be created.")
TOO_MANY = N_("Too many wrong codes from your address. Please try again in a few minutes.")


class SignUpError(Exception):
    """Why nobody was signed up: a sentence in the reader's language, and the field it is about."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Form:
    """What the person typed."""

    code: str
    username: str
    name: str
    email: str
    password: str
    again: str
    version: str
    """Of the consent text that was on the page."""
    accepted: tuple[str, ...]
    """Ids of its items that were ticked."""

    @staticmethod
    def of(read: Callable[[str], str], ticked: Sequence[str]) -> Form:
        """From a reader of form fields; surrounding blanks count only in passwords."""
        return Form(
            code=read("code").strip()[:200],
            username=read("username").strip().lower()[:200],
            name=unicodedata.normalize("NFC", read("name")).strip()[:200],
            email=read("email").strip()[:200],
            password=read("password")[:500],
            again=read("password_again")[:500],
            version=read("consent_version")[:50],
            accepted=tuple(ticked[:100]),
        )


class Accounts(Protocol):
    """What sign-up needs of the authenticator."""

    def known(self, username: str) -> bool:
        """True when somebody can already sign in under this name, or once did."""

    def common(self, password: str) -> bool:
        """True for one of the passwords that are tried first."""

    async def hashed(self, password: str) -> bytes:
        """The password as it is stored, worked out beside the Hub's own work."""

    def add(self, form: Form, secret: bytes) -> None:
        """Store the account without the right to sign in, over one left by a broken sign-up."""

    def authorise(self, username: str) -> None:
        """Give the right to sign in."""

    def remove(self, username: str) -> None:
        """Take the account away again."""


class Codes(Protocol):
    """What sign-up needs of the usage service (usage.client.UsageClient)."""

    def check_sign_up(self, code: str, username: str, email: str, language: str) -> None: ...

    def sign_up(
        self, code: str, username: str, email: str, name: str, consent: ConsentGiven
    ) -> Enrolment: ...


async def sign_up(
    form: Form,
    accounts: Accounts,
    codes: Codes,
    consent: Consent,
    language: str,
    say: Say,
) -> Enrolment:
    """Create the account, take the seat and record the consent; the seat.

    Raises SignUpError with nothing written.
    """
    check(form, accounts, consent, language, say)
    await _asked(
        asyncio.to_thread(codes.check_sign_up, form.code, form.username, form.email, language),
        say,
    )
    secret = await accounts.hashed(form.password)
    # Asked again: somebody else may have signed up meanwhile.
    if accounts.known(form.username):
        raise SignUpError(say(NAME_TAKEN), "username")
    accounts.add(form, secret)
    given = ConsentGiven(form.version, list(form.accepted), language)
    try:
        enrolment = await _asked(
            asyncio.to_thread(
                codes.sign_up, form.code, form.username, form.email, form.name, given
            ),
            say,
        )
    except BaseException:
        accounts.remove(form.username)
        raise
    accounts.authorise(form.username)
    return enrolment


async def _asked(answer: Awaitable[T], say: Say) -> T:
    """The usage service's answer. Raises SignUpError with its refusal, or when there is none."""
    try:
        return await answer
    except Refused as refused:
        kind = refused.refusal.code.partition("_")[0]
        field = {"name": "username", "consent": "consent"}.get(kind, "code")
        raise SignUpError(refused.refusal.message, field) from refused
    except UsageUnavailable as error:
        raise SignUpError(say(USAGE_DOWN)) from error


def check(form: Form, accounts: Accounts, consent: Consent, language: str, say: Say) -> None:
    """Raise SignUpError for the first field that cannot be used."""
    for wrong, field, message in (
        (not form.code, "code", N_("Please enter the event code you were given.")),
        (
            not _USERNAME.fullmatch(form.username),
            "username",
            N_(
                "A user name has 2 to 32 characters: letters a to z, digits, dot, hyphen and "
                "underscore, beginning with a letter or digit."
            ),
        ),
        (
            not form.name or len(form.name) > 80 or not form.name.isprintable(),
            "name",
            N_("Please enter your name, at most 80 characters."),
        ),
        (
            len(form.email) > 128 or not _EMAIL.fullmatch(form.email),
            "email",
            N_("This is not an e-mail address. Example: minji@example.com"),
        ),
    ):
        if wrong:
            raise SignUpError(say(message), field)
    problem = password_problem(form.password, form.username, accounts.common)
    if problem:
        raise SignUpError(say(problem), "password")
    if form.password != form.again:
        raise SignUpError(say(N_("The two passwords are not the same.")), "password_again")
    if accounts.known(form.username):
        raise SignUpError(say(NAME_TAKEN), "username")
    for item in consent.required:
        if item.id not in form.accepted:
            raise SignUpError(say(CONSENT_NEEDED, item=item.title.in_(language)), "consent")


def password_problem(password: str, username: str, common: Callable[[str], bool]) -> str:
    """Why this password cannot be used, in English for the catalogue; empty when it can."""
    if len(password) < MINIMUM_PASSWORD:
        return N_("The password needs at least 10 characters.")
    if len(password.encode()) > MOST_PASSWORD_BYTES:
        return N_("The password is too long: at most 72 bytes, that is 72 letters or 24 Hangul.")
    if password.lower() == username or common(password):
        return N_("This password is too easy to guess. Please choose another one.")
    return ""


def values(form: Form) -> dict[str, Any]:
    """What goes back into the form after a mistake; never a password."""
    return {
        "code": form.code,
        "username": form.username,
        "name": form.name,
        "email": form.email,
        "accepted": form.accepted,
    }
