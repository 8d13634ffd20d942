"""The door of labs: gives the owner's browser the cookie without which the proxy shows no lab.

Labs share the platform's origin unless they have names of their own, and a lab's server is its
learner's own program: what it says about who may see a page counts for nothing. `cli/door.mjs`
asks for the cookie inside the proxy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import url_escape_path
from tornado import web  # type: ignore[attr-defined]

from core import secrets
from core.i18n import N_
from core.settings import Settings

COOKIE = "dli-door"
_DAYS = 30
OTHERS = N_("This lab belongs to somebody else. Only its owner can open it.")


def update_door(c: Any, settings: Settings) -> None:
    """Add the handler; labs with names of their own need no door."""
    if not settings.site.subdomains:
        key = secrets.load(settings.state_dir, "lab-door")
        c.JupyterHub.extra_handlers = [(r"/door", DoorHandler, {"key": key})]


def owner_of(target: str) -> str | None:
    """Whose lab a path of this site leads to; None for any other target."""
    if "\\" in target or not target.isprintable() or urlsplit(target).netloc:
        return None
    found = re.match(r"/user/([^/?#]+)(?:[/?#]|$)", target)
    steps = unquote(urlsplit(target).path).split("/")
    return unquote(found[1]) if found and not {".", ".."} & set(steps) else None


def cookie(key: str, name: str) -> str:
    """The cookie's value for the lab of `name`."""
    return hmac.new(key.encode(), f"door:{name}".encode(), hashlib.sha256).hexdigest()


class DoorHandler(BaseHandler):  # type: ignore[misc] # no types published
    """``/hub/door?next=/user/<name>/…``: to the person's own lab, with the cookie."""

    def initialize(self, key: str) -> None:
        """`key`: the proxy knows it too."""
        self.key = key

    @web.authenticated  # type: ignore[untyped-decorator]
    def get(self) -> None:
        """Set the cookie and go on, or 403."""
        target = self.get_argument("next", "")
        owner = owner_of(target)
        if owner is None or owner != self.current_user.name:
            raise web.HTTPError(403, OTHERS)
        self.set_cookie(
            COOKIE,
            cookie(self.key, owner),
            path=f"/user/{url_escape_path(owner)}/",
            expires_days=_DAYS,
            httponly=True,
            samesite="Lax",
            secure=self.request.protocol == "https",
        )
        self.redirect(target)
