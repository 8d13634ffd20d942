"""CSV of a cohort's scores for nbgrader, Canvas and Moodle, read back as a spreadsheet reads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.course import Assignment, Course, Lab, Minutes, Text
from grader import dates, exports
from grader.database import open_database
from grader.models import Score, Submission
from store.database import Database
from tests.unit.grader.conftest import NewUrl
from usage.client import CohortMember

AT = datetime(2026, 11, 1, 9, tzinfo=UTC)
FIRST = Assignment(id="a", title=Text(en="=First", ko="첫째"), due=AT)
COURSE = Course(
    id="c", title=Text(en="C", ko="C"), summary=Text(en="C", ko="C"), hours=1, image="x",
    labs=[Lab(id="l", title=Text(en="L", ko="L"), minutes=Minutes(cpu=1, gpu=1))],
    assignments=[FIRST, Assignment(id="b", title=Text(en="Second", ko="둘째"))],
    folder=Path("/nowhere"),
)  # fmt: skip
PEOPLE = [
    CohortMember("ann", "trainee", "Ann Lee Park", "ann@example.org"),
    CohortMember("=cmd", "trainee", "@홍길동", "+x@example.org"),
    CohortMember("zoe", "trainee", "홍길동", ""),
    CohortMember("ines", "instructor", "Ines", ""),
]


@pytest.fixture(scope="module")
def database(new_url: NewUrl) -> Iterator[Database]:
    made = open_database(new_url())
    made.migrate()
    with made.write() as session:
        for name, cohort, points in (("ann", "x", 3.5), ("=cmd", "x", None), ("eve", "y", 1)):
            session.add(
                Submission(
                    id=f"sub-{name}",
                    course="c",
                    cohort=cohort,
                    assignment="a",
                    username=name,
                    attempt=1,
                    key="k",
                    sha256="0" * 64,
                    size=1,
                    notebooks=["n"],
                    received_at=AT,
                    late=False,
                )
            )
            session.flush()
            if points is not None:
                session.add(
                    Score(
                        submission_id=f"sub-{name}",
                        graded_at=AT,
                        score=points,
                        max_score=5,
                        raw_score=points + 0.5,
                        late_penalty=0.5,
                        needs_manual=False,
                        cells=[],
                        flags=[],
                        notebooks={},
                    )
                )
        later = dates.Given(due=AT + timedelta(days=1))
        dates.change(session, "c", "x", FIRST, "ann", later, "ines")
    yield made
    made.close()


def table(database: Database, kind: exports.Kind, language: str = "en") -> list[list[str]]:
    with database.read() as session:
        data = exports.export(session, COURSE, "x", PEOPLE, kind, language)
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))


def test_nbgraders_own_columns_with_everybody(database: Database) -> None:
    heads, *lines = table(database, "nbgrader")
    assert heads == exports.NBGRADER
    found = {(line[0], line[3]): line for line in lines}
    assert set(found) == {(a, n) for a in "ab" for n in ("ann", "'=cmd", "zoe")}
    assert found["a", "ann"] == [
        "a", "2026-11-02 09:00:00.000000 UTC", "2026-11-01 09:00:00.000000 UTC", "ann", "Park",
        "Ann Lee", "ann@example.org", "4.0", "0.5", "3.5", "5.0",
    ]  # fmt: skip
    assert found["a", "'=cmd"][7:] == ["", "", "", ""], "handed in, not graded yet"
    assert found["a", "zoe"][1:] == [
        "2026-11-01 09:00:00.000000 UTC", "", "zoe", "홍", "길동", "", "0.0", "0.0", "0.0", "5.0",
    ]  # fmt: skip


def test_canvas(database: Database) -> None:
    lines = table(database, "canvas")
    assert lines[0] == [
        "Student", "ID", "SIS User ID", "SIS Login ID", "Section", "'=First", "Second",
    ]  # fmt: skip
    assert lines[1][0].strip() == "Points Possible"
    assert lines[1][5:] == ["5.0", ""]
    assert ["Park, Ann Lee", "", "ann", "ann", "x", "3.5", ""] in lines
    assert ["홍, 길동", "", "zoe", "zoe", "x", "", ""] in lines


def test_moodle_in_korean(database: Database) -> None:
    lines = table(database, "moodle", "ko")
    assert lines[0] == ["Username", "First name", "Surname", "Email address", "첫째", "둘째"]
    assert ["ann", "Ann Lee", "Park", "ann@example.org", "3.5", ""] in lines
    assert len(lines) == 4


@pytest.mark.parametrize("kind", exports.KINDS)
def test_no_cell_computes(database: Database, kind: exports.Kind) -> None:
    cells = [cell for line in table(database, kind) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
