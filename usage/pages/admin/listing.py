"""A long table of a page: searched, sorted and cut into pages on the server. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from web.paging import cut

Row = TypeVar("Row")

PAGE = 50
"""Rows of one page."""


class Asked(BaseModel):
    """What a reader asked a table for, as it stands in the address."""

    q: str = Field("", max_length=200)
    """Words that a row must all have."""
    sort: str = Field("", max_length=40)
    """A column's key; with a hyphen before it, the other way round."""
    page: int = Field(1, ge=1, le=1_000_000)


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """One page of a table."""

    rows: list[Row]
    total: int
    """Rows that have the words, on all pages."""
    all: int
    """Rows without any words asked for."""
    page: int
    pages: int
    asked: Asked
    anchor: str
    """The id that the table stands below on its page."""

    def address(self, **other: object) -> str:
        """The address that asks the same but for `other`."""
        given = self.asked.model_dump() | {"page": self.page} | other
        query = urlencode({k: v for k, v in given.items() if v and (k, v) != ("page", 1)})
        return f"?{query}#{self.anchor}"

    def head(self, key: str, text: str, kind: str = "") -> dict[str, str]:
        """The head of a column that can be sorted by, for the table of web/macros.html."""
        now = self.asked.sort
        order = {key: "ascending", f"-{key}": "descending"}.get(now, "")
        to = f"-{key}" if now == key else key
        href = self.address(sort=to, page=1)
        return {"text": text, "kind": kind, "order": order, "href": href}


def listed(
    rows: Iterable[Row],
    asked: Asked,
    words: Callable[[Row], Iterable[str]],
    keys: Mapping[str, Callable[[Row], Any]],
    anchor: str,
    size: int = PAGE,
) -> Listing[Row]:
    """The page of `rows` that was asked for. `words` of a row are searched; `keys` are what it can
    be sorted by. An unknown key leaves the order as it is, a page past the last is the last."""
    given = list(rows)
    wanted = asked.q.casefold().split()
    found = [row for row in given if _has(words(row), wanted)] if wanted else given
    key = keys.get(asked.sort.removeprefix("-"))
    if key is not None:
        found = sorted(found, key=key, reverse=asked.sort.startswith("-"))
    shown, page, pages = cut(found, asked.page, size)
    return Listing(shown, len(found), len(given), page, pages, asked, anchor)


def _has(words: Iterable[str], wanted: list[str]) -> bool:
    text = " ".join(words).casefold()
    return all(word in text for word in wanted)
