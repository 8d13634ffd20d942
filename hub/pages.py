"""The Hub's pages: our layout over JupyterHub's templates, in the language of each reader.

JupyterHub has no translations. Its templates get a namespace per request; our functions in it are
Jinja context functions that find the request through ``static_url``, which JupyterHub documents
as a method of the request's handler. A test with a real Hub holds that, and another one fails when
an upstream template that we replace changes (tests/unit/hub/test_upstream_templates.py).

Styles and scripts are written into the pages, so that signing in never depends on a service.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from core import i18n
from core.i18n import N_
from core.settings import ROOT, Settings

TEMPLATES = ROOT / "hub" / "templates"
_LOCALES = (ROOT / "hub" / "locale", ROOT / "web" / "locale")


UPSTREAM = (
    N_("Invalid username or password."),
    N_("Login form invalid or expired. Try again."),
    N_("Your current password was incorrect. Please try again."),
    N_("Your new password didn't match the confirmation. Please try again."),
    N_("Your password has been changed successfully!"),
    N_("Spawn cancelled"),
)
"""Sentences that JupyterHub and NativeAuthenticator hand to templates; `known` translates them."""


def update_pages(c: Any, settings: Settings) -> None:
    """Replace the Hub's templates by ours and give them texts, style and scripts.

    Changes only ``template_paths`` and ``template_vars``; entries of other rooms in the latter
    are kept when they are there already.
    """
    c.JupyterHub.template_paths = [str(TEMPLATES), str(ROOT / "web" / "templates")]
    values = _namespace(settings)
    # JupyterHub calls each callable with the user and puts the result into the namespace.
    c.JupyterHub.template_vars.update({name: _constant(value) for name, value in values.items()})


def texts(language: str) -> gettext.NullTranslations:
    """The sentences of this room and of web in `language`."""
    return i18n.merged(_LOCALES, language)


def language_of(handler: Any, default: str) -> str:
    """The language of the reader behind a tornado request handler."""
    return i18n.choose(
        handler.get_cookie(i18n.COOKIE), handler.request.headers.get("Accept-Language"), default
    )


def _namespace(settings: Settings) -> dict[str, Any]:
    reader = _Texts(settings.site.language)
    return {
        "_": reader.gettext,
        "ngettext": reader.ngettext,
        "known": reader.known,
        "reader_language": reader.language,
        "request_path": _request_path,
        "style": lambda: _asset("web", "dli.css"),
        "script": _asset,
        "site_name": settings.site.name,
        "timezone": settings.site.timezone,
        "languages": i18n.NAMES,
        "language_cookie": i18n.COOKIE,
        "simulated_gpu_words": lambda: _simulated(settings.state_dir),
        "http_explanation": reader.http_explanation,
    }


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda _user: value


class _Texts:
    """Context functions for templates: the reader's language is found at each call."""

    def __init__(self, default: str) -> None:
        self._default = default

    @pass_context
    def language(self, context: Context) -> str:
        return language_of(_handler(context), self._default)

    def _texts(self, context: Context) -> gettext.NullTranslations:
        return texts(self.language(context))

    @pass_context
    def gettext(self, context: Context, message: str, **values: Any) -> Markup:
        return Markup(self._texts(context).gettext(message)) % values  # noqa: S704 # our texts

    @pass_context
    def ngettext(
        self, context: Context, singular: str, plural: str, number: int, **values: Any
    ) -> Markup:
        values.setdefault("num", number)
        return Markup(self._texts(context).ngettext(singular, plural, number)) % values  # noqa: S704

    @pass_context
    def known(self, context: Context, message: str) -> str:
        """A text of JupyterHub's in the reader's language; unchanged when it is not ours."""
        return self._texts(context).gettext(message) if message else ""

    @pass_context
    def http_explanation(self, context: Context, status: int) -> tuple[str, str]:
        found = self._texts(context)
        title, sentence = _explanation(int(status))
        return found.gettext(title), found.gettext(sentence)


def _explanation(status: int) -> tuple[str, str]:
    """Title and sentence of an error, in English."""
    known = {
        403: (
            N_("You may not open this"),
            N_(
                "Your account has no access to this page. "
                "If you think it should, ask your instructor."
            ),
        ),
        404: (
            N_("There is no such page"),
            N_("The address may be mistyped, or the page was moved."),
        ),
        405: (N_("This did not work"), N_("Go back and try again.")),
    }
    if status in known:
        return known[status]
    if status >= 500:
        return (
            N_("Something went wrong on our side"),
            N_(
                "The error was recorded. Try again; "
                "if it stays, tell the people who run this platform."
            ),
        )
    return N_("This did not work"), N_("Go back and try again.")


def _handler(context: Context) -> Any:
    return context["static_url"].__self__


@pass_context
def _request_path(context: Context) -> str:
    return str(_handler(context).request.path)


@lru_cache
def _asset(room: str, name: str) -> Markup:
    """A style sheet or script of ours, to be written into a page. Trusted text of this checkout."""
    text = (ROOT / room / "static" / name).read_text(encoding="utf-8")
    if "</" in text:
        raise ValueError(f"{room}/static/{name} must not hold '</': it goes into a page as it is")
    return Markup(text)  # noqa: S704


def _simulated(state_dir: Path) -> str:
    try:
        return (state_dir / "run" / "simulated-gpu").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
