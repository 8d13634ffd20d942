"""`./dli publish`, `grade` and `release`: coursework from the terminal."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
