"""Rendering: one Jinja environment per service, with the reader's language and formats.

Templates are looked up in ``<room>/templates``, then ``web/templates``; ``{% extends
"web/base.html" %}`` gives the layout, ``{% import "web/macros.html" as ui with context %}`` the
parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from core import i18n as languages
from core.settings import Settings
from web import formats, i18n, security
from web.assets import Assets
from web.auth import Person, sign_in_of

TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """What a service's pages share."""

    def __init__(self, settings: Settings, service: str, room: Path, assets: Assets) -> None:
        self.settings = settings
        self.service = service
        self.prefix = f"/services/{service}/"
        self.assets = assets
        self.environment = Environment(
            loader=FileSystemLoader([room / "templates", TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            optimized=False,  # else `{{ 60 | duration }}` would keep its first reader's language
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        self.environment.install_gettext_callables(  # type: ignore[attr-defined]
            i18n.gettext, i18n.ngettext, newstyle=True, pgettext=i18n.pgettext
        )
        self._add_filters()
        self.environment.globals.update(
            site_name=settings.site.name,
            service=service,
            prefix=self.prefix,
            static=self.static,
            languages=languages.NAMES,
            timezone=settings.site.timezone,
        )

    def static(self, name: str) -> str:
        """Address of an asset, with its content's hash."""
        return f"{self.prefix}static/{name}?v={self.assets.version(name)}"

    def render(self, template: str, context: dict[str, Any]) -> str:
        """The page as text."""
        return self.environment.get_template(template).render(context)

    def _add_filters(self) -> None:
        zone = self.settings.site.timezone
        self.environment.filters.update(
            number=formats.number,
            percent=formats.percent,
            duration=formats.duration,
            gpu_hours=formats.gpu_hours,
            megabytes=formats.megabytes,
            moment=lambda value: formats.moment(value, zone),
            day=lambda value: formats.day(value, zone),
            clock=lambda value: formats.clock(value, zone),
        )


def render(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The page `template` in the reader's language.

    Templates also see ``person`` (a `web.auth.Person` or None), ``language``, ``path`` (of this
    page), ``csrf_token`` and ``simulated_gpus`` (words, or empty).
    """
    pages: Pages = request.app.state.pages
    hub = sign_in_of(request)
    cookie = request.cookies.get(hub.csrf_cookie) or security.new_csrf_cookie()
    person: Person | None = getattr(request.state, "person", None)
    text = pages.render(
        template,
        {
            "person": person,
            "language": i18n.language(),
            "path": _path(request),
            "csrf_token": hub.csrf_token(request, cookie),
            "simulated_gpus": request.app.state.simulated_gpus(),
            **context,
        },
    )
    response = HTMLResponse(text, status, headers={"Cache-Control": "no-store"})
    if hub.csrf_cookie not in request.cookies:
        response.set_cookie(
            hub.csrf_cookie,
            cookie,
            path=hub.prefix,
            secure=hub.secure,
            httponly=True,
            samesite="strict",
        )
    return response


def simulated_gpus(state_dir: Path) -> str:
    """The simulated GPUs in words while they are in use, else empty.

    ``labs.agent`` keeps ``run/simulated-gpu`` in the state folder while its inventory is simulated.
    """
    try:
        return (state_dir / "run" / "simulated-gpu").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _path(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query
