"""The language of the request at hand, for pages and for the Python that writes their sentences.

``from web.i18n import gettext as _`` inside a request gives the room's own text, else web's. Code
without a request (a background task, an API that is told a language) uses
`core.i18n.translations` instead.
"""

from __future__ import annotations

import gettext as _gettext
from contextvars import ContextVar
from pathlib import Path

from core import i18n

LOCALE = Path(__file__).parent / "locale"

_language: ContextVar[str] = ContextVar("dli_language", default="en")
_texts: ContextVar[_gettext.NullTranslations | None] = ContextVar("dli_texts", default=None)


def use(language: str, folders: tuple[Path, ...] = ()) -> None:
    """Make `language` current for this request, with the texts of `folders`, then web's."""
    _language.set(language)
    _texts.set(i18n.merged((*folders, LOCALE), language))


def language() -> str:
    """The current language, ``ko`` or ``en``."""
    return _language.get()


def gettext(message: str) -> str:
    """`message` in the current language."""
    texts = _texts.get()
    return texts.gettext(message) if texts else message


def ngettext(singular: str, plural: str, number: int) -> str:
    """The form for `number` in the current language."""
    texts = _texts.get()
    if texts:
        return texts.ngettext(singular, plural, number)
    return singular if number == 1 else plural


def pgettext(context: str, message: str) -> str:
    """`message` as meant in `context`, in the current language."""
    texts = _texts.get()
    return texts.pgettext(context, message) if texts else message
