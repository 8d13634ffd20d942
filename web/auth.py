"""Who is asking: people through the Hub (HubOAuth with PKCE), labs, and our own processes.

Use as FastAPI dependencies::

    def page(person: Annotated[Person, Depends(signed_in)]): ...
    def roster(person: Annotated[Person, Depends(admin_only)]): ...
    def submit(person: Annotated[Person, Depends(lab_token)]): ...
    def reserve(caller: Annotated[str, Depends(internal("key-hub"))]): ...

A person's Hub token lives encrypted in a cookie of the service's own path; a removal in the Hub
counts here after at most `CACHE_SECONDS`. The state of a sign-in under way lives in a cookie too,
so that a restart of the service loses neither.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets as _random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography.fernet import Fernet, InvalidToken
from fastapi import HTTPException, Request
from jupyterhub.services.auth import HubOAuth
from starlette.responses import RedirectResponse, Response
from tornado.web import HTTPError as HubError

from core import secrets
from core.settings import Settings
from web import security
from web.i18n import gettext as _

CACHE_SECONDS = 30
"""How long the Hub's answer about a token is believed."""

SESSION_SECONDS = 14 * 24 * 3600
"""A sign-in ends after this at the latest; the Hub may end it earlier."""

STATE_SECONDS = 600
"""A sign-in has to be finished within this time."""


@dataclass(frozen=True)
class Person:
    """Someone the Hub knows."""

    name: str
    admin: bool = False


class SignInNeeded(Exception):
    """The page needs a signed-in person; the handler sends the browser to the Hub."""


class HubUnavailable(Exception):
    """The Hub could not be asked who this is."""


class HubSignIn:
    """One service's connection to the Hub: asks who a token is, and signs browsers in and out."""

    def __init__(self, settings: Settings, service: str) -> None:
        """Raises FileNotFoundError when the service's secret was not made (core.secrets.ensure)."""
        self.service = service
        self.prefix = f"/services/{service}/"
        self.secure = settings.public_url.startswith("https://")
        self.origin = security.origin_of(settings.public_url)
        self._state_dir = settings.state_dir
        token = secrets.load(settings.state_dir, f"{service}-hub-token")
        self.csrf_key = _derive(token, "csrf")
        self._box = Fernet(base64.urlsafe_b64encode(_derive(token, "session")))
        self._hub = HubOAuth(
            api_token=token,
            api_url=hub_api_url(settings),
            base_url=self.prefix,
            hub_prefix="/hub/",
            hub_host="",
            oauth_client_id=f"service-{service}",
            cache_max_age=CACHE_SECONDS,
            access_scopes={f"access:services!service={service}"},
        )

    # -- asking the Hub

    async def model(self, token: str, session_id: str = "") -> dict[str, Any] | None:
        """The Hub's answer about a token's owner; None for an unknown token.

        Raises HubUnavailable when the Hub does not answer.
        """
        self._follow_hub()
        try:
            found = await self._hub.user_for_token(token, session_id=session_id, sync=False)
        except HubError as error:
            raise HubUnavailable(str(error)) from error
        return found if isinstance(found, dict) and found.get("kind") == "user" else None

    def may_use_service(self, model: dict[str, Any]) -> bool:
        """True when the token was given for this service's pages."""
        return bool(self._hub.check_scopes(self._hub.access_scopes, model))

    def is_lab_token(self, model: dict[str, Any]) -> bool:
        """True when the token is one that a lab of its owner holds."""
        return bool(self._hub.check_scopes({f"access:servers!server={model['name']}/"}, model))

    # -- signing in

    def start(self, after: str) -> RedirectResponse:
        """Send the browser to the Hub, to come back to `after` (a path on this site)."""
        verifier, challenge, method = self._hub.generate_pkce_code_challenge()
        state = _random.token_urlsafe(16)
        query = urlencode(
            {
                "client_id": f"service-{self.service}",
                "redirect_uri": f"{self.prefix}oauth_callback",
                "response_type": "code",
                "state": state,
                "code_challenge": challenge,
                "code_challenge_method": method,
            }
        )
        response = RedirectResponse(f"/hub/api/oauth2/authorize?{query}", 303)
        value = self._seal({"verifier": verifier, "after": after})
        self._set_cookie(response, self._state_cookie(state), value, STATE_SECONDS)
        return response

    async def finish(self, request: Request) -> RedirectResponse:
        """Take the browser back from the Hub. Raises HTTPException with what to do next."""
        state = request.query_params.get("state", "")
        kept = self._open(request.cookies.get(self._state_cookie(state)), STATE_SECONDS)
        if kept is None:
            raise HTTPException(
                403,
                _(
                    "This sign-in expired or was begun in another browser. "
                    "Go to the start page and sign in again."
                ),
            )
        code = request.query_params.get("code")
        if not code:
            raise HTTPException(403, _("The sign-in was refused. You may not have access here."))
        self._follow_hub()
        try:
            token = await self._hub.token_for_code(code, code_verifier=kept["verifier"], sync=False)
        except HubError as error:
            if getattr(error, "log_message", "").startswith("Failed to check"):
                raise HTTPException(
                    403,
                    _(
                        "This sign-in was already used or expired. "
                        "Go to the start page and sign in again."
                    ),
                ) from error
            raise HubUnavailable(str(error)) from error
        response = RedirectResponse(security.local_path(kept["after"], self.prefix), 303)
        response.delete_cookie(self._state_cookie(state), path=self.prefix)
        session = self._seal({"token": token, "id": _random.token_urlsafe(12)})
        self._set_cookie(response, self.session_cookie, session, SESSION_SECONDS)
        return response

    def sign_out(self) -> RedirectResponse:
        """Forget the session here, then in the Hub, which revokes its tokens everywhere."""
        response = RedirectResponse("/hub/logout", 303)
        response.delete_cookie(self.session_cookie, path=self.prefix)
        return response

    # -- the session's cookie

    @property
    def session_cookie(self) -> str:
        """Name of the cookie that holds the session."""
        return f"dli-{self.service}-session"

    def session(self, request: Request) -> dict[str, str] | None:
        """The session a request carries: ``token`` and ``id``; None without a valid one."""
        return self._open(request.cookies.get(self.session_cookie), SESSION_SECONDS)

    @property
    def csrf_cookie(self) -> str:
        """Name of the cookie that page tokens are made from."""
        return f"dli-{self.service}-csrf"

    def csrf_token(self, request: Request, cookie: str) -> str:
        """The token that forms of this request's browser must carry."""
        session = self.session(request) or {"id": ""}
        return security.csrf_token(self.csrf_key, cookie, session["id"])

    def _state_cookie(self, state: str) -> str:
        return f"dli-{self.service}-state-{hashlib.sha256(state.encode()).hexdigest()[:16]}"

    def _set_cookie(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=self.prefix,
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def _seal(self, data: dict[str, str]) -> str:
        return self._box.encrypt(json.dumps(data).encode()).decode()

    def _open(self, value: str | None, seconds: int) -> dict[str, str] | None:
        if not value:
            return None
        try:
            data = json.loads(self._box.decrypt(value.encode(), ttl=seconds))
        except InvalidToken:
            return None
        return data if isinstance(data, dict) else None

    def _follow_hub(self) -> None:
        """Use the Hub's present address: `./dli up` may have moved it since we began."""
        url = _read_address(self._state_dir)
        if url and url != self._hub.api_url:
            self._hub.api_url = url
            self._hub.oauth_token_url = f"{url}/oauth2/token"


def hub_api_url(settings: Settings) -> str:
    """Where this service reaches the Hub's API: what ``run/hub-api-url`` in the state folder says.

    ``./dli up`` writes it, since the address of the labs' network is known only then. Without the
    file: this machine.
    """
    return _read_address(settings.state_dir) or f"http://127.0.0.1:{settings.ports.hub}/hub/api"


def _read_address(state_dir: Path) -> str:
    try:
        return (state_dir / "run" / "hub-api-url").read_text(encoding="utf-8").strip().rstrip("/")
    except FileNotFoundError:
        return ""


def _derive(secret: str, purpose: str) -> bytes:
    """A key of its own for each purpose, so that none can stand in for another."""
    return hashlib.sha256(f"dli:{purpose}:{secret}".encode()).digest()


# -- dependencies


def sign_in_of(request: Request) -> HubSignIn:
    """The application's connection to the Hub."""
    found = request.app.state.sign_in
    assert isinstance(found, HubSignIn)
    return found


async def signed_in(request: Request) -> Person:
    """The signed-in person. Without one the browser is sent to sign in."""
    person = await maybe_signed_in(request)
    if person is None:
        raise SignInNeeded
    return person


async def maybe_signed_in(request: Request) -> Person | None:
    """The signed-in person, or None; also kept in ``request.state.person`` for the page."""
    hub = sign_in_of(request)
    session = hub.session(request)
    if session is None:
        return None
    session_id = request.cookies.get("jupyterhub-session-id", "")
    model = await hub.model(session["token"], session_id)
    if model is None or not hub.may_use_service(model):
        return None
    person = Person(model["name"], bool(model.get("admin")))
    request.state.person = person
    return person


async def admin_only(request: Request) -> Person:
    """The signed-in person, who must be an admin of the Hub (else 403)."""
    person = await signed_in(request)
    if not person.admin:
        raise HTTPException(403, _("Only administrators may open this page."))
    return person


async def lab_token(request: Request) -> Person:
    """The person whose lab sends its token (``Authorization: token …``), else 401."""
    hub = sign_in_of(request)
    kind, _sep, token = request.headers.get("authorization", "").partition(" ")
    model = await hub.model(token.strip()) if kind.lower() == "token" and token.strip() else None
    if model is None or not hub.is_lab_token(model):
        raise HTTPException(
            401,
            _("The lab's token is not valid. Stop the lab and start it again."),
            headers={"WWW-Authenticate": "token"},
        )
    return Person(model["name"])


def internal(*names: str) -> Callable[[Request], str]:
    """A dependency that admits our own processes holding one of these secrets, else 401.

    It returns the name of the secret that was presented. Names as in core.secrets.
    """
    unknown = [name for name in names if name not in secrets.NAMES]
    if unknown or not names:
        raise KeyError(f"internal() needs names from core.secrets.NAMES, not {unknown or names}")

    def caller(request: Request) -> str:
        kind, _sep, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and given:
            known: dict[str, str] = request.app.state.keys
            for name in names:
                if security.same(given.strip(), known[name]):
                    return name
        raise HTTPException(
            401, "a valid service key is needed", headers={"WWW-Authenticate": "Bearer"}
        )

    return caller
