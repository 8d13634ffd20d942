"""Where a service's tables name people: found by the columns' names, also in tables to come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, MetaData, String, Table

_NAMES = ("username", "actor", "target", "author", "arrived")
_NOT_PEOPLE = {"claimed_by"}
"""A worker's name."""


def name_columns(tables: MetaData) -> Iterator[tuple[Table, Column[Any]]]:
    """Every column of every table that names a person."""
    for table in tables.tables.values():
        for column in table.columns:
            named = column.name in _NAMES or column.name.endswith("_by")
            if named and isinstance(column.type, String) and column.name not in _NOT_PEOPLE:
                yield table, column
