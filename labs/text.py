"""Sentences of this room in the reader's language."""

from __future__ import annotations

from pathlib import Path

from core.i18n import LANGUAGES, translations

LOCALE = Path(__file__).parent / "locale"


def N_(message: str) -> str:
    """Mark `message` for the catalogue; it is translated where the reader is known."""
    return message


def say(message: str, language: str, /, **values: object) -> str:
    """`message` in `language` (English for one that we do not have), with `values` filled in."""
    known = language if language in LANGUAGES else "en"
    return translations(LOCALE, known).gettext(message).format(**values)
