"""What the start benchmark reports from what it measured."""

from __future__ import annotations

from benchmarks._learner import Start
from benchmarks.spawn import Round, figures, rows


def _round(*cells: float) -> Round:
    return Round([Start(cell / 2, cell) for cell in cells], cpu_s=1.0, mib=100.0)


ROUNDS = {
    ("ours", 1): _round(2, 2, 4),
    ("stock", 1): _round(8, 8, 8),
    ("ours", 10): _round(*range(1, 11)),
    ("stock", 10): _round(*([10.0] * 10)),
}
IDLE = {"ours": 64.04, "stock": 120.0}


def test_the_worst_size_is_the_ratio() -> None:
    found = figures(ROUNDS, IDLE)
    assert found["sizes"] == {"1": {"p50": 0.25, "p95": 0.5}, "10": {"p50": 0.6, "p95": 1.0}}
    assert (found["ratio_p50"], found["ratio_p95"]) == (0.6, 1.0)
    assert (found["idle_mib"], found["stock_idle_mib"]) == (64.0, 120.0)


def test_each_size_and_side_is_a_row() -> None:
    table = rows(ROUNDS, IDLE)
    assert [(row["at once"], row["side"]) for row in table] == [
        (1, "ours"),
        (1, "stock"),
        (10, "ours"),
        (10, "stock"),
    ]
    assert table[0]["first cell p50 s"] == 2
