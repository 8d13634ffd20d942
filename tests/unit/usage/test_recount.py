"""A recount from the raw entries agrees with the accounts; `./dli bench recount` does it over a
million events, this over some hundred."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks import recount
from tests.unit.usage import audit


@pytest.mark.parametrize("seed", [1, 2])
def test_a_recount_from_the_raw_entries_agrees(tmp_path: Path, seed: int) -> None:
    made, wrong = recount.play(tmp_path, 700, seed, lambda _text: None)
    assert wrong == []
    assert made.events >= 700
    assert made.spawned > 20


def test_the_recount_notices_one_unit(tmp_path: Path) -> None:
    recount.play(tmp_path, 300, 3, lambda _text: None)
    database = recount.open_database(f"sqlite:///{tmp_path}/usage.sqlite")
    audit.check(database)
    with database.write() as session:
        session.execute(text("UPDATE accounts SET settled = settled + 1 WHERE username = ''"))
    with database.read() as session:
        assert len(recount.differences(session)) >= recount.COHORTS
    database.close()
