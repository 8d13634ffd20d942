"""A notebook in the reader's language: the same cells, other prose.

One English source notebook per lab or assignment holds all code, tests and solutions. A gettext
catalogue beside it holds each text a person reads: a whole Markdown cell, a block of comments, a
docstring. A cell that is new or was changed has no entry under its new text, so the two languages
cannot drift apart unnoticed.

Cells that nbgrader grades or locks are never touched: their checksums must stay those of the
source, and a test that says something else in another language would be another test.
Pure: no files, no network.
"""

from __future__ import annotations

import copy
import inspect
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Notebook = dict[str, Any]
"""A notebook as nbformat reads it (version 4; cell sources are strings)."""

_LETTER = re.compile(r"[^\W\d_]{2}")
_MARK = re.compile(r"#+ ?(BEGIN|END) |# ?YOUR CODE HERE|# ?(noqa|type:)")
_TRIPLE = ('"""', "'''")


class TranslationError(ValueError):
    """A notebook that has no whole translation: which texts are missing."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        first = missing[0].strip().splitlines()[0][:80]
        super().__init__(f"{len(missing)} texts have no translation; the first: {first!r}")


@dataclass(frozen=True)
class _Span:
    """A text inside code: what it is and the characters that it takes."""

    start: int
    end: int
    indent: int
    kind: Literal["comment", "docstring"]
    text: str


def messages(notebook: Notebook) -> list[str]:
    """Every text of `notebook` that needs a translation, once each, in reading order."""
    found: dict[str, None] = {}
    for cell in notebook["cells"]:
        if not is_translatable(cell):
            continue
        if cell["cell_type"] == "markdown":
            if _LETTER.search(cell["source"]):
                found[cell["source"]] = None
        elif cell["cell_type"] == "code":
            found.update(dict.fromkeys(span.text for span in _spans(cell["source"])))
    return list(found)


def translate(notebook: Notebook, texts: Mapping[str, str]) -> Notebook:
    """A copy of `notebook` with every text replaced from `texts`; all metadata stays.

    Raises TranslationError when a text is missing in `texts` or empty there.
    """
    missing = [text for text in messages(notebook) if not texts.get(text)]
    if missing:
        raise TranslationError(missing)
    result = copy.deepcopy(notebook)
    for cell in result["cells"]:
        if not is_translatable(cell):
            continue
        if cell["cell_type"] == "markdown":
            cell["source"] = texts.get(cell["source"], cell["source"])
        elif cell["cell_type"] == "code":
            cell["source"] = _replace(cell["source"], texts)
    return result


def missing(notebook: Notebook, texts: Mapping[str, str]) -> list[str]:
    """The texts of `notebook` that `texts` does not translate."""
    return [text for text in messages(notebook) if not texts.get(text)]


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


def _replace(code: str, texts: Mapping[str, str]) -> str:
    for span in reversed(_spans(code)):
        pad = " " * span.indent
        if span.kind == "comment":
            lines = [f"# {line}".rstrip() for line in texts[span.text].splitlines()]
            new = f"\n{pad}".join(lines)
        else:
            quote = code[span.start : span.start + 3]
            lines = texts[span.text].splitlines()
            body = "\n".join([lines[0], *(f"{pad}{line}".rstrip() for line in lines[1:])])
            new = f"{quote}{body}{chr(10) + pad if len(lines) > 1 else ''}{quote}"
        code = code[: span.start] + new + code[span.end :]
    return code


def _spans(code: str) -> list[_Span]:
    """Comments and docstrings of `code`, in order. Full-line comments that follow one another
    are one text. Raises ValueError when `code` is not Python."""
    return list(_join(code, _single(code)))


def _single(code: str) -> Iterator[_Span]:
    starts = [0]
    for line in code.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    line_begins = True
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            start = starts[token.start[0] - 1] + token.start[1]
            end = starts[token.end[0] - 1] + token.end[1]
            if token.type == tokenize.COMMENT:
                if not _MARK.match(token.string) and _LETTER.search(token.string):
                    text = token.string.lstrip("#").strip()
                    yield _Span(start, end, token.start[1], "comment", text)
            elif token.type == tokenize.STRING and line_begins and token.string[:3] in _TRIPLE:
                text = inspect.cleandoc(token.string[3:-3])
                yield _Span(start, end, token.start[1], "docstring", text)
            if token.type not in (tokenize.COMMENT, tokenize.NL):
                line_begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    except (tokenize.TokenError, SyntaxError) as error:
        raise ValueError(f"a code cell is not Python: {error}: {code[:60]!r}") from None


def _join(code: str, spans: Iterable[_Span]) -> Iterator[_Span]:
    held: _Span | None = None
    for span in spans:
        if held and _follows(code, held, span):
            held = _Span(held.start, span.end, held.indent, "comment", f"{held.text}\n{span.text}")
            continue
        if held:
            yield held
        held = span
    if held:
        yield held


def _follows(code: str, first: _Span, second: _Span) -> bool:
    """True when `second` is the next line of the comment block that `first` begins."""
    between = code[first.end : second.start]
    line_start = code.rfind("\n", 0, first.start) + 1
    return (
        first.kind == second.kind == "comment"
        and first.indent == second.indent
        and not code[line_start : first.start].strip()
        and between.strip() == ""
        and between.count("\n") == 1
    )
