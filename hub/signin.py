"""Accounts of our own: NativeAuthenticator, with sign-up only by event code.

Its pages that change an account by a plain link (authorise, discard) are left out: a link in a
mail must not do that. An account is made by a code, by `./dli`, or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from jupyterhub import orm
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator import handlers as native
from nativeauthenticator.orm import UserInfo
from tornado import web  # type: ignore[attr-defined]
from tornado.httputil import url_concat
from traitlets import Any as AnyTrait
from traitlets import Unicode

from core.consent import Consent
from core.i18n import COOKIE, N_, choose
from core.log import event
from core.wire import Enrolment
from hub import pages, passwords, signup
from hub.attempts import Attempts
from hub.signup import Form, SignUpError

log = logging.getLogger("hub.signin")

_CODE_ATTEMPTS = Attempts(limit=30, window_s=600)
_JUST_MADE = object()
"""Stands in for the password of an account made a moment ago. No form can send it."""
_LONGEST_NAME = 128
_NOBODY = passwords.hashed("nobody has this password")
"""Compared when there is no such user, so that the answer takes as long."""


class EventCodeAuthenticator(NativeAuthenticator):  # type: ignore[misc] # no types published
    """Sign-in with lockout and length limits; sign-up with an event code."""

    usage: signup.Codes = AnyTrait(help="The usage service's client").tag(config=True)
    consent: Consent = AnyTrait(help="What people agree to at sign-up").tag(config=True)
    default_language = Unicode("ko", help="Language before a person chose one").tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attempts = Attempts(self.allowed_failed_logins, self.seconds_before_next_try)
        # One core stays free for the Hub itself while a class signs up or in.
        self._hashing = asyncio.Semaphore(max(1, (os.cpu_count() or 1) - 1))

    async def authenticate(self, _handler: Any, data: dict[str, Any]) -> str | None:
        """The user's name, or None. Failures are counted per name, known or not."""
        if data.get("made") is _JUST_MADE:
            return str(data["username"])
        name, password = data.get("username", ""), data.get("password", "").encode()
        if not name or len(name) > _LONGEST_NAME or len(password) > signup.MOST_PASSWORD_BYTES:
            return None
        username: str = self.normalize_username(name)
        if self.attempts.blocked_s(username):
            return None
        user = self.get_user(username)
        stored = user.password if user else _NOBODY
        async with self._hashing:
            right = await asyncio.to_thread(passwords.right, password, stored)
        if user and right and user.is_authorized:
            self.attempts.succeeded(username)
            return username
        self.attempts.failed(username)
        return None

    def change_password(self, username: str, new_password: str) -> bool:
        """Store a new password; False for one that is too weak, or when nobody has the name."""
        user = self.get_user(username)
        if user is None or not self.is_password_strong(new_password):
            return False
        user.password = passwords.hashed(new_password)
        self.db.commit()
        return True

    def is_password_strong(self, password: str) -> bool:
        """The rules of sign-up, also for a change of password."""
        return not signup.password_problem(password, "", self.is_password_common)

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:  # noqa: ARG002
        """Sign-in, sign-up and change of password."""
        return [
            (r"/login", LoginHandler),
            (r"/signup", SignUpHandler),
            (r"/change-password", ChangePasswordHandler),
            (r"/change-password/([^/]+)", ChangePasswordAdminHandler),
        ]

    # -- hub.signup.Accounts -----------------------------------------------------------------------

    def known(self, username: str) -> bool:
        """True for an account in use. One that never got its right to sign in is not."""
        found = self.get_user(username)
        if found is not None and found.is_authorized:
            return True
        return username in self.admin_users or orm.User.find(self.db, username) is not None

    def common(self, password: str) -> bool:
        """True for one of NativeAuthenticator's ten thousand common passwords."""
        return bool(self.is_password_common(password))

    async def hashed(self, password: str) -> bytes:
        """The password as it is stored; made in a thread."""
        async with self._hashing:
            return await asyncio.to_thread(passwords.hashed, password)

    def add(self, form: Form, secret: bytes) -> None:
        """Store the account, not yet authorised."""
        self.remove(form.username)
        self.db.add(
            UserInfo(username=form.username, password=secret, email=form.email, is_authorized=False)
        )
        self.db.commit()

    def authorise(self, username: str) -> None:
        """Let the account sign in."""
        self.get_user(username).is_authorized = True
        self.db.commit()

    def remove(self, username: str) -> None:
        """Delete the account's row; a missing one is no error."""
        found = self.get_user(username)
        if found is not None:
            self.db.delete(found)
            self.db.commit()


class _Speaking:
    """A page that knows its reader's language."""

    def language(self: Any) -> str:
        """``ko`` or ``en``."""
        return choose(
            self.get_cookie(COOKIE),
            self.request.headers.get("Accept-Language"),
            self.authenticator.default_language,
        )

    def say(self: Any, message: str, **values: object) -> str:
        """`message` in the reader's language."""
        return pages.texts(self.language()).gettext(message).format(**values)


class LoginHandler(_Speaking, native.LoginHandler):  # type: ignore[misc]
    """The sign-in page, saying why it failed without saying which accounts exist."""

    async def post(self) -> None:
        """Sign in, or show the form again with the reason."""
        name = self.get_argument("username", "")[:_LONGEST_NAME]
        user = await self.login_user(
            {"username": name, "password": self.get_argument("password", "", strip=False)}
        )
        if user:
            self._jupyterhub_user = user
            self.redirect(self.get_next_url(user))
            return
        wait = self.authenticator.attempts.blocked_s(self.authenticator.normalize_username(name))
        if wait:
            minutes = math.ceil(wait / 60)
            problem = self.say(
                N_("Too many failed attempts. Please try again in {minutes} minutes."),
                minutes=minutes,
            )
        else:
            problem = self.say(N_("The user name or the password is wrong."))
        self.set_status(403)
        self.finish(await self._render(login_error=problem, username=name))

    def _render(
        self, login_error: str | None = None, username: str | None = None, **given: Any
    ) -> Any:
        """The form; JupyterHub also asks for it as an error page (`sync`: an expired form)."""
        following = self.get_argument("next", "")
        return self.render_template(
            "native-login.html",
            sync=given.get("sync", False),
            username=username,
            login_error=login_error,
            enable_signup=self.authenticator.enable_signup,
            two_factor_auth=self.authenticator.allow_2fa,
            authenticator_login_url=url_concat(
                self.authenticator.login_url(self.hub.base_url), {"next": following}
            ),
        )


class SignUpHandler(_Speaking, native.LocalBase):  # type: ignore[misc]
    """The sign-up page. Template ``signup.html`` with `form`, `problem` and `problem_field`."""

    async def get(self) -> None:
        """An empty form; ``?code=`` fills in the code of an invitation link."""
        await self._page({"code": self.get_argument("code", "")[:64]})

    async def post(self) -> None:
        """Sign up and in, or show the form again with the reason."""
        form = Form.of(
            lambda field: self.get_body_argument(field, "", strip=False),
            self.get_body_arguments("consent"),
        )
        try:
            self._slow_down()
            enrolment = await signup.sign_up(
                form,
                self.authenticator,
                self.authenticator.usage,
                self.authenticator.consent,
                self.language(),
                self.say,
            )
        except SignUpError as error:
            if error.field == "code":
                _CODE_ATTEMPTS.failed(asked_by(self.request.headers))
            self.set_status(400 if error.field else 503)
            await self._page(signup.values(form), str(error), error.field)
            return
        event(log, "signed up", person=form.username)
        user = await self.login_user({"username": form.username, "made": _JUST_MADE})
        if user is None:  # an administrator's rule (blocked users) spoke against it
            raise web.HTTPError(403)
        self._jupyterhub_user = user
        self.redirect(self.get_next_url(user, default=course_page(enrolment)))

    def _slow_down(self) -> None:
        if _CODE_ATTEMPTS.blocked_s(asked_by(self.request.headers)):
            raise SignUpError(self.say(signup.TOO_MANY), "")

    async def _page(self, form: dict[str, Any], problem: str = "", field: str = "") -> None:
        blank = {"code": "", "username": "", "name": "", "email": "", "accepted": ()}
        self.finish(
            await self.render_template(
                "signup.html",
                form={**blank, **form},
                problem=problem,
                problem_field=field,
                minimum_password_length=signup.MINIMUM_PASSWORD,
                consent=self.authenticator.consent,
            )
        )


def asked_by(headers: Mapping[str, str]) -> str:
    """The address that a request came from; empty for this machine's own.

    Proxies append to ``X-Forwarded-For``, so only what stands last was not written by the sender:
    ours, or before it the one of a TLS proxy on this machine. ``X-Real-Ip``, which Tornado would
    believe, anybody can send.
    """
    chain = [one.strip() for one in headers.get("X-Forwarded-For", "").split(",")]
    away = [one for one in chain if one.removeprefix("::ffff:") not in ("", "127.0.0.1", "::1")]
    return away[-1] if away else ""


def course_page(enrolment: Enrolment) -> str:
    """Where somebody lands who has just joined: their course, or all of them."""
    home = "/services/usage/"
    return f"{home}courses/{enrolment.courses[0]}" if len(enrolment.courses) == 1 else home


class _ShortPasswords:
    """bcrypt refuses more than 72 bytes with an error that would become a bare 500."""

    def prepare(self: Any) -> Any:
        """Refuse over-long passwords before NativeAuthenticator reads them."""
        for field in ("old_password", "new_password", "new_password_confirmation"):
            value = self.get_body_argument(field, "", strip=False)
            if len(value.encode()) > signup.MOST_PASSWORD_BYTES:
                raise web.HTTPError(400, "a password has at most 72 bytes")
        return super().prepare()  # type: ignore[misc]


class ChangePasswordHandler(_ShortPasswords, native.ChangePasswordHandler):  # type: ignore[misc]
    """A person changes their own password."""


class ChangePasswordAdminHandler(_ShortPasswords, native.ChangePasswordAdminHandler):  # type: ignore[misc]
    """An administrator sets somebody's password."""
