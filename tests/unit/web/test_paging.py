"""Long lists cut into pages."""

from __future__ import annotations

import pytest

from web.paging import cut


@pytest.mark.parametrize(
    ("rows", "page", "shown"),
    [
        (0, 1, ([], 1, 1)),
        (2, 1, ([0, 1], 1, 1)),
        (3, 1, ([0, 1], 1, 2)),
        (3, 2, ([2], 2, 2)),
        (4, 2, ([2, 3], 2, 2)),
        (4, 9, ([2, 3], 2, 2)),
    ],
)
def test_pages_of_two(rows: int, page: int, shown: tuple[list[int], int, int]) -> None:
    assert cut(range(rows), page, 2) == shown
