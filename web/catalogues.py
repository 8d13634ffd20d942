"""Keep a room's ``.po`` files in step with its texts: ``python -m web.catalogues update <room>``.

`update` adds new texts, drops unused ones and fills English with the text itself; Korean is left
empty for a person to write. `check` names what is missing (tests/unit/web/test_catalogues.py runs
it for every room).
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from core.i18n import LANGUAGES
from core.settings import ROOT

ROOMS = ("web", "hub", "labs", "usage", "grader", "cli")

_METHODS = [
    ("**/locale/**", "ignore"),
    ("**/node_modules/**", "ignore"),
    ("**.py", "python"),
    ("**/templates/**.html", "jinja2.ext:babel_extract"),
    ("templates/**.html", "jinja2.ext:babel_extract"),
]
_JINJA = {"silent": "false", "extensions": "jinja2.ext.i18n"}
_OPTIONS = {"**/templates/**.html": _JINJA, "templates/**.html": _JINJA}

_WHEN = datetime(2026, 11, 22, tzinfo=UTC)
"""One fixed date in every header, so that two updates of the same texts are the same file."""

_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]|\{\w*\}")


def extract(folder: Path) -> Catalog:
    """Every text of the room in `folder`, from Python and templates."""
    template = Catalog(charset="utf-8")
    found = extract_from_dir(
        folder,
        method_map=_METHODS,
        options_map=_OPTIONS,
        comment_tags=("Translators:",),
        strip_comment_tags=False,
    )
    for name, _line, message, comments, context in found:
        template.add(message, locations=[(name, 0)], auto_comments=comments, context=context)
    return template


def po_file(folder: Path, language: str) -> Path:
    """Where a room keeps its texts in `language`."""
    return folder / "locale" / language / "LC_MESSAGES" / "messages.po"


def update(folder: Path) -> list[str]:
    """Bring both catalogues up to date; returns what is still to be translated."""
    template = extract(folder)
    for language in LANGUAGES:
        catalogue = _read(po_file(folder, language), language)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        if language == "en":
            _fill_english(catalogue)
        _write(catalogue, po_file(folder, language), folder.name)
    return check(folder)


def check(folder: Path) -> list[str]:
    """What is wrong with the room's catalogues: one sentence each; empty when all is well."""
    template = extract(folder)
    return [problem for language in LANGUAGES for problem in _check(folder, language, template)]


def _check(folder: Path, language: str, template: Catalog) -> list[str]:
    file = po_file(folder, language)
    where = f"{folder.name} ({language})"
    if not len(template):
        return []
    if not file.exists():
        return [f"{where}: no catalogue; run: python -m web.catalogues update {folder.name}"]
    catalogue = _read(file, language)
    problems = []
    for message in template:
        if message.id:
            problems += _check_message(where, message, catalogue.get(message.id, message.context))
    known = {(_first(m.id), m.context) for m in template}
    unused = [m for m in catalogue if m.id and (_first(m.id), m.context) not in known]
    problems += [f"{where}: not used any more: {_first(m.id)!r}" for m in unused]
    problems += [f"{where}: obsolete: {_first(m.id)!r}" for m in catalogue.obsolete.values()]
    return problems


def _check_message(where: str, wanted: Message, kept: Message | None) -> list[str]:
    text = repr(_first(wanted.id))
    if kept is None:
        return [f"{where}: missing: {text}"]
    if kept.fuzzy:
        return [f"{where}: fuzzy: {text}"]
    forms = kept.string if isinstance(kept.string, (tuple, list)) else (kept.string,)
    if not forms or not all(forms):
        return [f"{where}: not translated: {text}"]
    many = wanted.id if isinstance(wanted.id, (tuple, list)) else (wanted.id,)
    allowed = {mark for form in many for mark in _PLACEHOLDER.findall(form)}
    needed = set(_PLACEHOLDER.findall(many[-1]))
    for form in forms:
        used = set(_PLACEHOLDER.findall(form))
        if not used <= allowed or (form == forms[-1] and not needed <= used):
            return [f"{where}: other placeholders than the English text: {text} -> {form!r}"]
    return []


def _first(identifier: Any) -> str:
    return str(identifier[0] if isinstance(identifier, (tuple, list)) else identifier)


def _fill_english(catalogue: Catalog) -> None:
    for message in catalogue:
        if message.id:
            message.string = message.id
            message.flags.discard("fuzzy")


def _read(file: Path, language: str) -> Catalog:
    if not file.exists():
        return Catalog(locale=language, charset="utf-8", fuzzy=False)
    with file.open("rb") as source:
        return read_po(source, locale=language, charset="utf-8")


def _write(catalogue: Catalog, file: Path, room: str) -> None:
    catalogue.header_comment = f"# DLI Labs, texts of {room}/"
    catalogue.project, catalogue.version = "dli-labs", "1"
    catalogue.creation_date = catalogue.revision_date = _WHEN
    catalogue.last_translator = "DLI Labs"
    catalogue.language_team = "DLI Labs"
    catalogue.msgid_bugs_address = "DLI Labs"
    catalogue.fuzzy = False
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as target:
        write_po(
            target,
            catalogue,
            width=100,
            sort_output=True,
            include_lineno=False,
            ignore_obsolete=True,
        )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m web.catalogues", description=__doc__)
    parser.add_argument("action", choices=["update", "check"])
    parser.add_argument("rooms", nargs="+", choices=ROOMS, metavar="room")
    asked = parser.parse_args()
    act = update if asked.action == "update" else check
    problems = [problem for room in asked.rooms for problem in act(ROOT / room)]
    print("\n".join(problems) or "All texts are translated.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
