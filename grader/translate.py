"""A notebook in the reader's language: the same cells, other prose.

One English source notebook per lab or assignment holds all code, tests and solutions. A gettext
catalogue beside it holds each text a person reads: a whole Markdown cell, a block of comments, a
docstring, a message. A cell that is new or was changed has no entry under its new text, so the
two languages cannot drift apart unnoticed.

Cells that nbgrader grades or locks are never touched: their checksums must stay those of the
source, and a test that says something else in another language would be another test.
Pure: no files, no network.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from grader import codetext

Notebook = dict[str, Any]
"""A notebook as nbformat reads it (version 4; cell sources are strings)."""

_LETTER = re.compile(r"[^\W\d_]{2}")


class TranslationError(ValueError):
    """A notebook that has no whole translation: which texts are missing."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        self.first = missing[0].strip().splitlines()[0][:80]
        super().__init__(f"{len(missing)} texts have no translation; the first: {self.first!r}")


def messages(notebook: Notebook) -> list[str]:
    """Every text of `notebook` that needs a translation, once each, in reading order.

    Raises ValueError when a code cell is not Python.
    """
    found: dict[str, None] = {}
    for cell in filter(is_translatable, notebook["cells"]):
        if cell["cell_type"] == "code":
            found.update(dict.fromkeys(span.text for span in codetext.spans(cell["source"])))
        elif _LETTER.search(cell["source"]):
            found[cell["source"]] = None
    return list(found)


def translate(notebook: Notebook, texts: Mapping[str, str]) -> Notebook:
    """A copy of `notebook` with every text replaced from `texts`; all metadata stays.

    Raises TranslationError when a text is missing in `texts` or empty there.
    """
    lacking = missing(notebook, texts)
    if lacking:
        raise TranslationError(lacking)
    result = copy.deepcopy(notebook)
    for cell in filter(is_translatable, result["cells"]):
        if cell["cell_type"] == "code":
            cell["source"] = codetext.replaced(cell["source"], texts)
        else:
            cell["source"] = texts.get(cell["source"], cell["source"])
    return result


def missing(notebook: Notebook, texts: Mapping[str, str]) -> list[str]:
    """The texts of `notebook` that `texts` does not translate, or with other `{…}` fields."""
    bad = set()
    for cell in filter(is_translatable, notebook["cells"]):
        if cell["cell_type"] == "code":
            for span in codetext.spans(cell["source"]):
                if span.kind == "message" and not codetext.fits(
                    span.text, texts.get(span.text, "")
                ):
                    bad.add(span.text)
    return [text for text in messages(notebook) if not texts.get(text) or text in bad]


def unused(notebook: Notebook, texts: Iterable[str]) -> list[str]:
    """The entries of a catalogue that `notebook` no longer holds."""
    known = set(messages(notebook))
    return [text for text in texts if text and text not in known]


def is_translatable(cell: Mapping[str, Any]) -> bool:
    """False for cells that nbgrader grades or locks, and for raw cells."""
    meta = cell.get("metadata", {}).get("nbgrader", {})
    if cell["cell_type"] not in ("markdown", "code") or meta.get("grade") or meta.get("task"):
        return False
    return bool(meta.get("solution") or not meta.get("locked"))
