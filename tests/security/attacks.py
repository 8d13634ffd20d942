"""What the attacks saw, for the table at the end of the run."""

from __future__ import annotations

ROWS: list[tuple[str, str, str, str]] = []
"""(test file, attack, expected, seen)"""


def note(where: str, attack: str, expected: str, seen: str) -> None:
    """One line of the table. `where` is ``__name__`` of the test's module."""
    ROWS.append((where.rsplit(".", 1)[-1], attack, expected, " ".join(seen.split())[:90]))
