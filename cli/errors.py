"""The one kind of error that ends a command with a sentence instead of a traceback."""

from __future__ import annotations


class CliError(Exception):
    """What went wrong, and (`remedy`) what the person can do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
