"""What a browser may do with our pages: headers, where a redirect may go, forged posts.

A post to a page must come from our own site (``Sec-Fetch-Site``, else ``Origin``) and carry the
page's token: an HMAC over a cookie that only our pages can set. Calls with a token in
``Authorization`` are exempt, since no other site can make a browser send one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; frame-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Set on every response that does not set its own (a sandboxed notebook sets a stricter CSP)."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def local_path(target: str | None, otherwise: str) -> str:
    """`target` when it is a path on this site, else `otherwise`.

    Refuses what a browser would read as another host: ``//host``, ``/\\host``, schemes, control
    characters.
    """
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return otherwise
    if "\\" in target or any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in target):
        return otherwise
    try:
        parts = urlsplit(target)
    except ValueError:
        return otherwise
    return otherwise if parts.scheme or parts.netloc else target


def from_our_site(headers: Mapping[str, str], scheme_host: str) -> bool:
    """True when the browser says that a page of ours sent this request.

    `scheme_host` is the public origin, for browsers that send only ``Origin``.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or origin == scheme_host


def by_token(headers: Mapping[str, str]) -> bool:
    """True for a call by a lab or a process of ours, with its token.

    Not for ``Basic``: ``http://x:y@host/`` in another site's link makes a browser send that, and a
    person's cookies along with it.
    """
    scheme = headers.get("authorization", "").partition(" ")[0]
    return scheme.lower() in ("token", "bearer")


def origin_of(url: str) -> str:
    """Scheme and host of an address, as a browser writes them in ``Origin``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def new_csrf_cookie() -> str:
    """A fresh value for the cookie that a page's token is made from."""
    return secrets.token_urlsafe(24)


def csrf_token(key: bytes, cookie: str, session: str) -> str:
    """The token of a page shown to the browser with this cookie and sign-in session."""
    text = f"{cookie}\0{session}".encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two secrets without telling by timing where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
