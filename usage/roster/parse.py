"""A roster file as rows: bytes in, rows and problems out. Pure: no database, no clock, no network.

Reads what spreadsheets and learning platforms write: UTF-8 (with or without a byte order mark),
UTF-16 and CP949; comma, semicolon or tab. Limits keep a hostile file from costing more than a look.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from usage.roster import columns
from usage.roster.columns import Format

MOST_BYTES = 5 * 1024 * 1024
MOST_ROWS = 5_000
MOST_COLUMNS = 500
LONGEST_CELL = 200
"""Characters in a cell that is read."""

_DELIMITERS = (",", ";", "\t")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,120}\.[A-Za-z]{2,24}")
_USERNAME = re.compile(r"[^\s/\x00-\x1f\x7f:]{1,64}")
_FORMULA = ("=", "+", "-", "@")
_HANGUL = re.compile(r"[가-힣]")
_GONE = {"deleted", "suspended", "inactive"}


class RosterError(ValueError):
    """A file that cannot be read as a whole. `code` and `details` choose the sentence."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(f"{code} {details}")
        self.code = code
        self.details = details


@dataclass(frozen=True)
class Problem:
    """Why a row is left out; `code` and `value` choose the sentence."""

    code: str
    value: str = ""


@dataclass(frozen=True)
class Row:
    """One person of the file. E-mail and user name are in lower case; role empty: not said."""

    line: int
    """Line of the file on which the row begins, from 1."""
    email: str
    username: str
    name: str
    role: str
    problem: Problem | None = None
    """Set: this row is left out."""


@dataclass(frozen=True)
class Roster:
    """What a file says."""

    source: Format
    encoding: str
    delimiter: str
    unread: tuple[str, ...]
    """Columns that mean nothing here and are not read."""
    rows: tuple[Row, ...]


def parse_roster(data: bytes) -> Roster:
    """Read a roster. Raises RosterError for a file that is none, is too large or is hostile."""
    if len(data) > MOST_BYTES:
        raise RosterError("too_large", most=MOST_BYTES // 1024 // 1024)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise RosterError("spreadsheet")
    text, encoding = _decode(data)
    if "\0" in text:
        raise RosterError("nul")
    delimiter = _delimiter(text)
    lines = _lines(text, delimiter)
    heads = next(lines, (0, []))[1]
    if not any(heads):
        raise RosterError("empty")
    fields, unread, twice = columns.read(heads)
    if twice:
        raise RosterError("column_twice", column=twice[:80])
    if not fields.keys() & {"email", "username"}:
        raise RosterError("no_person_column", found=", ".join(heads)[:300])
    source = columns.format_of(heads)
    reader = _Reader(source, fields, len(heads))
    rows = _without_repeats(row for line, cells in lines if (row := reader.row(line, cells)))
    if not rows:
        raise RosterError("no_rows")
    return Roster(source, encoding, delimiter, tuple(h[:80] for h in unread[:50]), tuple(rows))


def _decode(data: bytes) -> tuple[str, str]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        guesses = ["utf-16"]
    elif data.count(b"\0") > len(data) // 8:
        # UTF-16 of mostly Latin letters has a NUL in every second place: before or after each.
        odd = data[1::2].count(b"\0") >= data[::2].count(b"\0")
        guesses = ["utf-16-le" if odd else "utf-16-be"]
    else:
        guesses = ["utf-8-sig", "cp949"]
    for encoding in guesses:
        try:
            return unicodedata.normalize("NFC", data.decode(encoding)), encoding
        except UnicodeDecodeError:
            continue
    raise RosterError("encoding")


def _delimiter(text: str) -> str:
    """What the first line is separated by: whatever makes most columns known, then most columns."""

    def worth(delimiter: str) -> tuple[int, int]:
        try:
            heads = next(_lines(text, delimiter), (0, []))[1]
        except RosterError as error:
            return (0, MOST_COLUMNS + 1 if error.code == "too_many_columns" else 0)
        return len(columns.read(heads)[0]), len(heads)

    return max(_DELIMITERS, key=worth)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold something, with the line each begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    count = before = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            code = "cell_too_long" if "field limit" in str(error) else "quotes"
            raise RosterError(code, line=before + 1) from None
        line, before = before + 1, reader.line_num
        if len(cells) > MOST_COLUMNS:
            raise RosterError("too_many_columns", line=line, most=MOST_COLUMNS)
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (not count and _is_excels_mark(cells)):
            continue
        count += 1
        if count > MOST_ROWS + 1:
            raise RosterError("too_many_rows", most=MOST_ROWS)
        yield line, cells


def _is_excels_mark(cells: list[str]) -> bool:
    """Excel's own first line, `sep=;`, tells it the separator and nobody else anything."""
    return cells[0].lower().startswith("sep=") and not any(cells[1:])


class _Reader:
    """Turns cells into rows."""

    def __init__(self, source: Format, fields: dict[str, int], width: int) -> None:
        self._source = source
        self._fields = fields
        self._width = width

    def row(self, line: int, cells: list[str]) -> Row | None:
        """The row; None for a line of the platform that is nobody (Canvas's "Points Possible")."""
        found = {name: cells[at] if at < len(cells) else "" for name, at in self._fields.items()}
        if self._source == "canvas" and _is_canvas_own(found.get("name", "")):
            return None
        role = columns.role(found.get("role", ""), self._source)
        email, username = found.get("email", "").lower(), found.get("username", "").lower()
        if not email and "@" in username:  # Canvas and Moodle often sign people in by e-mail
            email, username = username, ""
        row = Row(line, email, username, self._name(found), role or "")
        problem = self._problem(row, found, cells, role)
        if problem is None:
            return row
        return replace(
            row,
            email=_cut(row.email),
            username=_cut(row.username),
            name=_cut(row.name),
            problem=problem,
        )

    def _name(self, found: dict[str, str]) -> str:
        first, last = found.get("first", ""), found.get("last", "")
        if first or last:
            return _joined(first, last)
        name = found.get("name", "")
        if self._source == "canvas" and name.count(",") == 1:
            last, _comma, first = name.partition(",")
            return _joined(first.strip(), last.strip())
        return name

    def _problem(
        self, row: Row, found: dict[str, str], cells: list[str], role: str | None
    ) -> Problem | None:
        checks = (
            (len(cells) > self._width and any(cells[self._width :]), "cells", str(len(cells))),
            (any(len(cell) > LONGEST_CELL for cell in found.values()), "long", ""),
            (not all(cell.isprintable() for cell in found.values()), "control", ""),
            (found.get("status", "").lower() in _GONE, "gone", found.get("status", "")),
            (not row.email and not row.username, "nobody", ""),
            (bool(row.email) and not _EMAIL.fullmatch(row.email), "email", row.email),
            (
                bool(row.username) and not _USERNAME.fullmatch(row.username),
                "username",
                row.username,
            ),
            (row.name.startswith(_FORMULA), "formula", row.name),
            (role is None, "role", found.get("role", "")),
        )
        return next((Problem(code, value[:80]) for wrong, code, value in checks if wrong), None)


def _fits(pattern: re.Pattern[str], text: str) -> bool:
    return not text or pattern.fullmatch(text) is not None


def _cut(text: str) -> str:
    """What a preview shows of a bad row: short, and printable."""
    return "".join(c if c.isprintable() else "�" for c in text[:80])


def _is_canvas_own(name: str) -> bool:
    return name.casefold() in {"points possible", "student, test", "test student", "만점", "배점"}


def _joined(first: str, last: str) -> str:
    """A Korean name is written family name first and without a blank."""
    if _HANGUL.search(first) and _HANGUL.search(last):
        return last + first
    return f"{first} {last}".strip()


def _without_repeats(rows: Iterator[Row]) -> list[Row]:
    """A person named twice counts once; a later line that says something else is left out."""
    seen: dict[str, Row] = {}
    kept = []
    for row in rows:
        if row.problem is not None:
            kept.append(row)
            continue
        keys = [key for key in (row.email, row.username and f"@{row.username}") if key]
        earlier = next((seen[key] for key in keys if key in seen), None)
        if earlier is None:
            seen.update(dict.fromkeys(keys, row))
            kept.append(row)
            continue
        same = replace(row, line=earlier.line) == earlier
        code = "repeated" if same else "contradicts"
        kept.append(replace(row, problem=Problem(code, str(earlier.line))))
    return kept
