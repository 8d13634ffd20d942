"""The reader's language on JupyterHub's pages.

JupyterHub has no translation. Its handlers fill every page from `BaseHandler.template_namespace`;
`install` adds to it: `language`, `languages`, and `gettext`, `ngettext`, `pgettext` (so that `_()`
and ``{% trans %}`` work) over the catalogues of this room and of `web`.
"""

from __future__ import annotations

import gettext as _gettext
from pathlib import Path
from typing import Any

from jupyterhub.handlers.base import BaseHandler

from core import i18n
from core.settings import ROOT, Settings

LOCALE = Path(__file__).parent / "locale"
_CATALOGUES = (LOCALE, ROOT / "web" / "locale")

_original = BaseHandler.template_namespace


def install(settings: Settings) -> None:
    """Give every page of this process's Hub the reader's language. Again is harmless."""

    def template_namespace(handler: Any) -> dict[str, Any]:
        return {**_original.fget(handler), **namespace(language_of(handler, settings))}

    BaseHandler.template_namespace = property(template_namespace)


def language_of(handler: Any, settings: Settings) -> str:
    """What the reader chose (cookie), else what their browser asks for, else the site's."""
    return i18n.choose(
        handler.get_cookie(i18n.COOKIE),
        handler.request.headers.get("Accept-Language"),
        settings.site.language,
    )


def texts(language: str) -> _gettext.NullTranslations:
    """This room's sentences in `language`."""
    return i18n.merged(_CATALOGUES, language)


def namespace(language: str) -> dict[str, Any]:
    """What templates get to speak `language`."""
    found = texts(language)
    return {
        "language": language,
        "languages": i18n.NAMES,
        "gettext": found.gettext,
        "ngettext": found.ngettext,
        "pgettext": found.pgettext,
    }
