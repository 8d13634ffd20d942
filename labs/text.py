"""Sentences of this room in the reader's language."""

from __future__ import annotations

from pathlib import Path

from core.i18n import LANGUAGES, translations

LOCALE = Path(__file__).parent / "locale"


def say(message: str, language: str, /, **values: object) -> str:
    """`message` in `language` (English for one that we do not have), with `values` filled in."""
    known = language if language in LANGUAGES else "en"
    return translations(LOCALE, known).gettext(message).format(**values)
