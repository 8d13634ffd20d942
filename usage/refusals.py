"""Why something cannot be done, as a code with details; the sentence is made in the reader's
language at the edge of the service."""

from __future__ import annotations

from typing import Any


class No(Exception):
    """A refusal. `code` picks the sentence in usage.texts, `details` fill it."""

    def __init__(self, code: str, /, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details
