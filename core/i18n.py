"""Languages: which one a reader wants, and the texts of a room in it.

Each room with texts keeps ``<room>/locale/{ko,en}/LC_MESSAGES/messages.po``; the message id is the
English text. Catalogues are read straight from ``.po``, so nothing has to be compiled.
"""

from __future__ import annotations

import gettext
from functools import lru_cache
from io import BytesIO
from pathlib import Path

LANGUAGES = ("ko", "en")
"""Languages of every page."""

NAMES = {"ko": "한국어", "en": "English"}
"""Each language's own name."""

COOKIE = "dli_lang"
"""Cookie (path ``/``) that holds the language a person chose."""


class CatalogueError(ValueError):
    """A catalogue that cannot be read: file and line."""


def N_(message: str) -> str:
    """Mark `message` for its room's catalogue; it is translated where the reader is known."""
    return message


def choose(cookie: str | None, accept_language: str | None, default: str) -> str:
    """The reader's language: what they chose, else what their browser asks for, else `default`."""
    if cookie in LANGUAGES:
        return cookie
    for wanted in _preferences(accept_language or ""):
        if wanted in LANGUAGES:
            return wanted
    return default


@lru_cache(maxsize=64)
def translations(folder: Path, language: str) -> gettext.NullTranslations:
    """Texts of ``<folder>/<language>/LC_MESSAGES/messages.po``; English where one is missing.

    Cached for the life of the process. Do not add fallbacks to the result: use `merged`.
    Raises CatalogueError for a file that is not a catalogue.
    """
    return _read(folder / language / "LC_MESSAGES" / "messages.po", language)


@lru_cache(maxsize=64)
def merged(folders: tuple[Path, ...], language: str) -> gettext.NullTranslations:
    """Texts of several folders; the first folder that knows a text wins. Cached."""
    return _Chain([translations(folder, language) for folder in folders])


class _Chain(gettext.NullTranslations):
    """Asks each catalogue in turn, without changing the cached ones."""

    def __init__(self, parts: list[gettext.NullTranslations]) -> None:
        super().__init__()
        self._parts = parts

    def gettext(self, message: str) -> str:
        for part in self._parts:
            text = part.gettext(message)
            if text != message:
                return text
        return message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        plain = msgid1 if n == 1 else msgid2
        for part in self._parts:
            text = part.ngettext(msgid1, msgid2, n)
            if text != plain:
                return text
        return plain

    def pgettext(self, context: str, message: str) -> str:
        for part in self._parts:
            text = part.pgettext(context, message)
            if text != message:
                return text
        return message


def _read(file: Path, language: str) -> gettext.NullTranslations:
    if not file.exists():
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import PoFileError, read_po

    try:
        with file.open("rb") as source:
            catalogue = read_po(source, locale=language, abort_invalid=True)
    except (PoFileError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{file}: not a message catalogue: {error}") from None
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _preferences(header: str) -> list[str]:
    """Primary language tags of an Accept-Language header, most wanted first."""
    weighted = []
    for place, part in enumerate(header.split(",")[:20]):
        tag, _, options = part.strip().partition(";")
        quality = _quality(options)
        if tag and quality > 0:
            weighted.append((-quality, place, tag.split("-")[0].strip().lower()))
    return [tag for _, _, tag in sorted(weighted)]


def _quality(options: str) -> float:
    name, _, value = options.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
