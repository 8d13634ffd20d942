"""The guard against forged posts, as a dependency of every route."""

from __future__ import annotations

from fastapi import HTTPException, Request

from web import security
from web.auth import SignInNeeded, sign_in_of
from web.i18n import gettext as _

FIELD = "_csrf"
"""Hidden form field (macro `csrf()` in web/macros.html writes it)."""

HEADER = "x-csrf-token"
"""Header with the same token, for htmx and fetch."""


async def guard(request: Request) -> None:
    """Refuse (403) a post that did not come from a page of ours shown to this browser."""
    if request.method in security.SAFE_METHODS or security.by_token(request.headers):
        return
    hub = sign_in_of(request)
    if not security.from_our_site(request.headers, hub.origin):
        raise HTTPException(403, _("This request came from another site and was refused."))
    cookie = request.cookies.get(hub.csrf_cookie, "")
    given = request.headers.get(HEADER) or await _field(request)
    if cookie and security.same(given, hub.csrf_token(request, cookie)):
        return
    if hub.session(request) is None:
        raise SignInNeeded  # the page outlived its sign-in; nothing was done
    raise HTTPException(403, _("This page was open too long. Go back, reload it and try again."))


async def _field(request: Request) -> str:
    kind = request.headers.get("content-type", "")
    if not kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return ""
    value = (await request.form()).get(FIELD, "")
    return value if isinstance(value, str) else ""
