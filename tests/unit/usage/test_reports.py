"""Reports: what is held, used and idle, and the files made of it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest

from core.settings import Settings
from tests.platform import shared_node
from tests.unit.usage.conftest import HOUR, START, World, slot
from usage import idle
from usage.reports import figures, papers
from usage.reports.figures import Period
from usage.reports.papers import Paper
from web import i18n


@pytest.fixture
def two(world: World) -> World:
    """ann in kt held 30 minutes, of which 10 were reported: 7 working, 3 idle."""
    world.cohort("kt", organisation="KT")
    world.cohort("lg", organisation="=LG")
    world.people("ann", "bea")
    world.people("ann", cohort="lg")
    world.slots(slot(1), slot(2))
    lease = world.running("ann")
    for minute, (busy, silent) in enumerate([(True, 0)] * 7 + [(False, 60), (False, 120)], 1):
        world.time.pass_ms(60_000)
        world.beat((lease, minute * 60_000))
        world.usage.note_activity("ann", busy, silent)
    world.time.pass_ms(21 * 60_000)
    world.beat((lease, 30 * 60_000))
    world.usage.note_activity("ann", False, 60)
    world.usage.release(lease.id, 30 * 60_000, "stopped", False)
    return world


def test_held_is_used_idle_and_unknown(two: World) -> None:
    with two.database.read() as session:
        lines = figures.by_cohort(session, Period(), {"kt": 2})
        kt = next(line for line in lines if line.key == "kt")
        (ann,) = figures.by_person(session, Period(), "kt")
    assert kt.held == HOUR // 2
    assert kt.used == HOUR // 60 * (7 + 2)  # the last word covers three minutes, one of them idle
    assert kt.idle == HOUR // 60 * (2 + 1)
    assert kt.unknown == HOUR // 2 - HOUR // 60 * 12
    assert (kt.people, kt.active, kt.labs, kt.completed) == (2, 1, 1, 2)
    assert (ann.name, ann.held) == ("ann", kt.held)


def test_organisations_count_people_once(two: World) -> None:
    two.cohort("kt2", organisation="KT")
    two.people("ann", cohort="kt2")
    with two.database.read() as session:
        lines = {one.name: one for one in figures.by_organisation(session, Period(), None)}
    assert (lines["KT"].people, lines["KT"].active, lines["KT"].completed) == (2, 1, None)
    assert lines["KT"].held == HOUR // 2


def test_a_period_takes_labs_by_their_beginning(two: World) -> None:
    with two.database.read() as session:
        after = figures.by_cohort(session, Period(since=START + timedelta(minutes=1)), None, "kt")
        before = figures.by_cohort(session, Period(until=START + timedelta(minutes=1)), None, "kt")
    assert (after[0].held, before[0].held) == (0, HOUR // 2)


def test_csv_has_numbers_as_numbers_and_no_formula(two: World) -> None:
    i18n.use("ko", (papers.Path("usage/locale").resolve(),))
    with two.database.read() as session:
        lines = figures.by_cohort(session, Period(), None)
    data = papers.to_csv(Paper("t", "", lines, "cohort"))
    assert data.startswith("\ufeff기수,기관".encode())
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert {row["기관"] for row in rows} == {"'=LG", "KT"}
    assert next(row for row in rows if row["기관"] == "KT")["점유(GPU-시간)"] == "0.5"


@pytest.mark.parametrize("language", ["ko", "en"])
def test_pdf_is_small_and_the_same_twice(two: World, tmp_path: Path, language: str) -> None:
    (tmp_path / "node").symlink_to(shared_node(Settings(state_dir=tmp_path)))
    i18n.use(language, (papers.Path("usage/locale").resolve(),))
    with two.database.read() as session:
        paper = Paper("보고서", "", figures.by_cohort(session, Period(), {}), "cohort")
    one, two_ = (papers.to_pdf(paper, tmp_path, START, "Asia/Seoul") for _ in range(2))
    assert one.startswith(b"%PDF-")
    assert one == two_
    assert len(one) < 60_000


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ((0, 60_000, True, 0.0), (60_000, 60_000)),
        ((0, 60_000, False, 15.0), (45_000, 60_000)),
        ((0, 60_000, False, 900.0), (0, 60_000)),
        ((60_000, 60_000, True, 0.0), (0, 0)),
        ((0, 3_600_000, True, 0.0), (idle.STALE_MS, idle.STALE_MS)),
        ((0, 60_000, False, float("nan")), (0, 0)),
        ((0, 60_000, False, -5.0), (0, 0)),
    ],
)
def test_what_a_word_of_a_lab_covers(word: tuple, expected: tuple[int, int]) -> None:
    assert idle.worked(*word) == expected
