"""Whatever names a person in either service's tables is found when the person is erased."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData

from grader import people
from store.personal import name_columns
from usage.retention import person

WORDS = ("user", "person", "author", "_by", "actor")


@pytest.mark.parametrize(
    "tables", [person.Base.metadata, people.Base.metadata], ids=["usage", "grader"]
)
def test_every_column_that_names_a_person_is_known(tables: MetaData) -> None:
    found = {f"{table.name}.{column.name}" for table, column in name_columns(tables)}
    suspicious = {
        f"{table.name}.{column.name}"
        for table in tables.tables.values()
        for column in table.columns
        if any(word in column.name for word in WORDS)
    }
    assert suspicious - found <= {"jobs.claimed_by"}
