"""The command's own words in the language of the terminal (Korean or English)."""

from __future__ import annotations

import os
from functools import cache
from gettext import NullTranslations
from pathlib import Path

from core.i18n import translations

_LOCALE = Path(__file__).parent / "locale"


def language() -> str:
    """`ko` when the terminal's locale is Korean, else `en`."""
    chosen = next((v for k in ("LC_ALL", "LC_MESSAGES", "LANG") if (v := os.environ.get(k))), "")
    return "ko" if chosen.lower().startswith("ko") else "en"


@cache
def _catalogue(chosen: str) -> NullTranslations:
    return translations(_LOCALE, chosen)


def _(message: str, /, **values: object) -> str:
    """`message` in the terminal's language, its ``{name}`` fields filled from `values`."""
    text = _catalogue(language()).gettext(message)
    return text.format(**values) if values else text
