"""A long list cut into pages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")


def cut(rows: Sequence[Row], page: int, size: int) -> tuple[list[Row], int, int]:
    """The rows of `page` (the first is 1), which page that is, and how many there are.

    A page past the last is the last; without rows there is one, empty.
    """
    pages = max(1, -(-len(rows) // size))
    page = min(page, pages)
    return list(rows[(page - 1) * size : page * size]), page, pages
