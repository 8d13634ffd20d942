"""`./dli bench submit` in short: both databases, nothing lost or doubled, its last line."""

from __future__ import annotations

from benchmarks import submit


def test_its_last_line_on_both_databases() -> None:
    rows, figures = submit.main(lambda _: None, n=16)
    assert [(row["database"], row["MB"], row["submissions"]) for row in rows] == [
        ("SQLite", 0.2, 16), ("SQLite", 10.0, 2), ("PostgreSQL", 0.2, 16), ("PostgreSQL", 10.0, 2),
    ]  # fmt: skip
    assert list(figures) == ["submissions", "seconds", "p95_s", "lost", "doubled"]
    assert (figures["submissions"], figures["lost"], figures["doubled"]) == (16, 0, 0)
    assert figures["p95_s"] > 0
