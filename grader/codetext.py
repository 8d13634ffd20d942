"""The texts inside Python code that a person reads: comments, docstrings, messages.

Messages are the string literals given to `print` and to `assert …, message`; all other strings may
be data. In an f-string the `{…}` parts must come back unchanged in the translation.
Pure: text in, text out.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

_LETTER = re.compile(r"[^\W\d_]{2}")
_MARK = re.compile(r"#+ ?(BEGIN|END) |# ?YOUR CODE HERE|# ?(noqa|type:)")
_LITERAL = re.compile(
    r"(?P<prefix>[fF]?)(?P<quote>[\"'])(?P<text>(?:(?!(?P=quote))[^\\\n]|\\.)*)(?P=quote)"
)
_FIELD = re.compile(r"\{[^{}]*\}")
_TRIPLE = ('"""', "'''")

Kind = Literal["comment", "docstring", "message"]


@dataclass(frozen=True)
class Span:
    """A text inside code: what it is and the characters that it takes."""

    start: int
    end: int
    indent: int
    kind: Kind
    text: str


def spans(code: str) -> list[Span]:
    """Every text of `code`, in order. Full-line comments that follow one another are one text.

    Raises ValueError when `code` is not Python.
    """
    found = [*_joined(code, _comments_and_docstrings(code)), *_messages(code)]
    return sorted(found, key=lambda span: span.start)


def replaced(code: str, texts: Mapping[str, str]) -> str:
    """`code` with each of its texts replaced from `texts`; all of them must be there."""
    for span in reversed(spans(code)):
        new = _rendered(code, span, texts[span.text])
        code = code[: span.start] + new + code[span.end :]
    return code


def fits(text: str, translation: str) -> bool:
    """True when `translation` keeps the `{…}` fields of `text` and cannot break its quotes."""
    fields = _FIELD.findall(text)
    return Counter(fields) == Counter(_FIELD.findall(translation))


def _rendered(code: str, span: Span, translation: str) -> str:
    pad = " " * span.indent
    lines = translation.splitlines()
    if span.kind == "comment":
        return f"\n{pad}".join(f"# {line}".rstrip() for line in lines)
    if span.kind == "message":
        literal = _LITERAL.fullmatch(code[span.start : span.end])
        assert literal is not None  # that is how the span was found
        quote = literal["quote"]
        return f"{literal['prefix']}{quote}{translation.replace(quote, '’')}{quote}"
    quote = code[span.start : span.start + 3]
    rest = [f"{pad}{line}".rstrip() for line in lines[1:]]
    close = f"\n{pad}{quote}" if rest else quote
    return "\n".join([quote + lines[0], *rest]) + close


def _line_starts(code: str) -> list[int]:
    starts = [0]
    for line in code.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _comments_and_docstrings(code: str) -> Iterator[Span]:
    starts = _line_starts(code)
    line_begins = True
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            start = starts[token.start[0] - 1] + token.start[1]
            end = starts[token.end[0] - 1] + token.end[1]
            if token.type == tokenize.COMMENT:
                if not _MARK.match(token.string) and _LETTER.search(token.string):
                    text = token.string.lstrip("#").strip()
                    yield Span(start, end, token.start[1], "comment", text)
                continue
            if token.type == tokenize.STRING and line_begins and token.string[:3] in _TRIPLE:
                text = inspect.cleandoc(token.string[3:-3])
                yield Span(start, end, token.start[1], "docstring", text)
            if token.type != tokenize.NL:
                line_begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    except (tokenize.TokenError, SyntaxError) as error:
        raise ValueError(f"a code cell is not Python: {error}: {code[:60]!r}") from None


def _messages(code: str) -> Iterator[Span]:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a line for IPython (%, !): such a cell has comments, but no messages
        return
    starts = _line_starts(code)
    lines = code.split("\n")

    def position(line: int, byte_column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:byte_column].decode())

    for node in _message_nodes(tree):
        start = position(node.lineno, node.col_offset)
        end = position(node.end_lineno or node.lineno, node.end_col_offset or 0)
        literal = _LITERAL.fullmatch(code[start:end])
        if literal and _LETTER.search(_FIELD.sub("", literal["text"])):
            yield Span(start, end, 0, "message", literal["text"])


def _message_nodes(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and node.msg is not None:
            yield node.msg
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            yield from node.args


def _joined(code: str, found: Iterable[Span]) -> Iterator[Span]:
    held: Span | None = None
    for span in found:
        if held and _continues(code, held, span):
            held = Span(held.start, span.end, held.indent, "comment", f"{held.text}\n{span.text}")
            continue
        if held:
            yield held
        held = span
    if held:
        yield held


def _continues(code: str, first: Span, second: Span) -> bool:
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
