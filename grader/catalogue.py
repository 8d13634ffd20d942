"""Reading and writing the gettext catalogues of a course: one .po file per notebook.

`<course>/locale/<language>/<labs|assignments>/<item>/<notebook>.po`. The file is used as it is,
without compiling, so that what an author edits is what a learner reads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po, write_po


class CatalogueError(ValueError):
    """A .po file that cannot be read: which file, which line, what is wrong."""


def path(course: Path, language: str, notebook: Path) -> Path:
    """Where the `language` texts of `notebook` (a file inside `course`) belong."""
    inside = notebook.relative_to(course)
    return course / "locale" / language / inside.with_suffix(".po")


def read(file: Path) -> dict[str, str]:
    """Translations by English text. Fuzzy and empty entries are left out, a missing file is empty.

    Raises CatalogueError.
    """
    return {m.id: m.string for m in _messages(file) if m.string and not m.fuzzy}


def merge(file: Path, texts: list[str], source: str, language: str = "ko") -> int:
    """Bring `file` up to date with `texts`: new ones empty, changed ones marked fuzzy with the
    old translation as a start, dropped ones removed. Returns how many wait for a translator."""
    template = _catalogue({text: "" for text in texts}, source, language)
    known = _catalogue({m.id: m.string for m in _messages(file)}, source, language)
    fuzzy = {m.id for m in _messages(file) if m.fuzzy}
    known.update(template, no_fuzzy_matching=False)
    known.obsolete.clear()
    for message in known:
        if message.id in fuzzy:
            message.flags.add("fuzzy")
    _save(file, known)
    return sum(1 for m in known if m.id and (m.fuzzy or not m.string))


def write(file: Path, texts: Mapping[str, str], source: str, language: str = "ko") -> None:
    """Write `texts` as a new catalogue for the notebook named `source`."""
    _save(file, _catalogue(texts, source, language))


def _messages(file: Path) -> list[Message]:
    if not file.exists():
        return []
    try:
        found = read_po(io.BytesIO(file.read_bytes()), abort_invalid=True)
    except (PoFileError, ValueError) as error:  # ValueError: no UTF-8, or a header that is none
        raise CatalogueError(f"{file}: not a readable gettext catalogue: {error}") from None
    return [message for message in found if message.id]


def _catalogue(texts: Mapping[str, str], source: str, language: str) -> Catalog:
    catalogue = Catalog(locale=language, fuzzy=False, header_comment=f"# {source}")
    for text, translated in texts.items():
        catalogue.add(text, translated)
    return catalogue


def _save(file: Path, catalogue: Catalog) -> None:
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=0, omit_header=False, sort_output=False)
    lines = buffer.getvalue().decode("utf-8").splitlines()
    # Dates and tool versions would make a diff of every run.
    noise = (
        *("POT-Creation-Date", "PO-Revision-Date", "Generated-By", "Last-Translator"),
        *("Report-Msgid-Bugs-To", "Language-Team", "Project-Id-Version"),
    )
    kept = [line for line in lines if not line.startswith(tuple(f'"{word}' for word in noise))]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(kept).rstrip() + "\n", encoding="utf-8")
