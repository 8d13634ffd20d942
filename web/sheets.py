"""Tables as CSV files that a spreadsheet opens rightly and computes nothing of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

MEDIA_TYPE = "text/csv; charset=utf-8"


def to_csv(heads: Sequence[str], rows: Iterable[Sequence[str | int | float | None]]) -> bytes:
    """UTF-8 with a byte order mark, which Excel in Korean needs. Texts are made `harmless`."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([harmless(head) for head in heads])
    for row in rows:
        writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue().encode("utf-8-sig")


def harmless(text: str) -> str:
    """`text` as a spreadsheet shows it, never as it computes it."""
    return f"'{text}" if text.startswith(_FORMULA) else text
