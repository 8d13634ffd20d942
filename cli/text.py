"""The command's own words in the language of the terminal (Korean or English)."""

from __future__ import annotations

import gettext
import io
import os
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

_LOCALE = Path(__file__).parent / "locale"


def language() -> str:
    """`ko` when the terminal's locale is Korean, else `en`."""
    chosen = next((v for k in ("LC_ALL", "LC_MESSAGES", "LANG") if (v := os.environ.get(k))), "")
    return "ko" if chosen.lower().startswith("ko") else "en"


@cache
def _catalogue(chosen: str) -> gettext.NullTranslations:
    file = _LOCALE / chosen / "LC_MESSAGES" / "messages.po"
    if not file.exists():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=chosen))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _(message: str, /, **values: object) -> str:
    """`message` in the terminal's language, its ``{name}`` fields filled from `values`."""
    text = _catalogue(language()).gettext(message)
    return text.format(**values) if values else text


def n_(message: str) -> str:
    """Mark `message` for translation where it is only translated later, with `_`."""
    return message
