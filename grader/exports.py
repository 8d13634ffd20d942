"""Scores as CSV: nbgrader's own columns, and what Canvas and Moodle import.

Everybody in the cohort has a row, whoever handed something in too. No cell can become a formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy.orm import Session

from core.course import Assignment, Course
from grader import dates, results
from grader.models import Score
from grader.submissions import STAMP
from usage.client import CohortMember
from web.sheets import to_csv

Kind = Literal["nbgrader", "canvas", "moodle"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NBGRADER = [
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
]
"""nbgrader's export, column by column."""

Cell = str | float


@dataclass(frozen=True)
class Sheet:
    """What is exported: a cohort's last attempts by assignment and learner."""

    course: Course
    cohort: str
    learners: list[CohortMember]
    rows: Mapping[tuple[str, str], results.Row]
    when: Mapping[tuple[str, str], dates.When]
    language: str

    def score(self, item: Assignment, learner: CohortMember) -> Score | None:
        """The score that counts; None when there is none yet."""
        row = self.rows.get((item.id, learner.username))
        return row.score if row else None

    def most(self, item: Assignment) -> Cell:
        """The assignment's points, known once something of it is graded."""
        known = [r.score.max_score for (i, _), r in self.rows.items() if i == item.id and r.score]
        return max(known, default="")


def export(
    session: Session,
    course: Course,
    cohort: str,
    members: Iterable[CohortMember],
    kind: Kind = "nbgrader",
    language: str = "en",
) -> bytes:
    """One cohort's scores as a CSV file; titles of assignments in `language`."""
    rows, when = {}, {}
    for item in course.assignments:
        set_for = dates.rows_of(session, course.id, cohort, item.id)
        for row in results.rows(session, course.id, item.id, cohort=cohort):
            rows[item.id, row.submission.username] = row
        for name in {name for (_, name) in rows} | {m.username for m in members}:
            when[item.id, name] = dates.pick(item, set_for, cohort, name)
    known = {m.username: m for m in members}
    learners = [m for m in known.values() if m.role == "trainee"]
    others = sorted({name for (_, name) in rows} - {m.username for m in learners})
    learners += [known.get(name, CohortMember(name, "trainee", "", "")) for name in others]
    learners.sort(key=lambda m: m.username)
    heads, *lines = _LAYOUTS[kind](Sheet(course, cohort, learners, rows, when, language))
    return to_csv([str(head) for head in heads], lines)


def _nbgrader(sheet: Sheet) -> Iterable[Sequence[Cell]]:
    """A line for each assignment and learner; without a submission zero points, as there."""
    yield NBGRADER
    for item in sheet.course.assignments:
        for learner in sheet.learners:
            row = sheet.rows.get((item.id, learner.username))
            due = sheet.when[item.id, learner.username].due
            last, first = names(learner.name)
            score = row.score if row else None
            numbers: list[Cell] = ["", "", "", ""]
            if score:
                numbers = [score.raw_score, score.late_penalty, score.score, score.max_score]
            elif row is None:
                numbers = [0.0, 0.0, 0.0, sheet.most(item)]
            yield [
                item.id,
                due.strftime(STAMP) if due else "",
                row.submission.received_at.strftime(STAMP) if row else "",
                learner.username,
                last,
                first,
                learner.email,
                *numbers,
            ]


def _canvas(sheet: Sheet) -> Iterable[Sequence[Cell]]:
    """Canvas finds people by their login; its own ID is left for it to fill in."""
    items = sheet.course.assignments
    titles = [item.title.in_(sheet.language) for item in items]
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *titles]
    yield ["    Points Possible", "", "", "", "", *(sheet.most(item) for item in items)]
    for learner in sheet.learners:
        name = ", ".join(filter(None, names(learner.name))) or learner.username
        login = learner.username
        yield [name, "", login, login, sheet.cohort, *_scores(sheet, learner)]


def _moodle(sheet: Sheet) -> Iterable[Sequence[Cell]]:
    """For Moodle's CSV import, mapped by user name or by e-mail address."""
    titles = [item.title.in_(sheet.language) for item in sheet.course.assignments]
    yield ["Username", "First name", "Surname", "Email address", *titles]
    for learner in sheet.learners:
        last, first = names(learner.name)
        yield [learner.username, first, last, learner.email, *_scores(sheet, learner)]


_LAYOUTS = {"nbgrader": _nbgrader, "canvas": _canvas, "moodle": _moodle}


def _scores(sheet: Sheet, learner: CohortMember) -> Iterable[Cell]:
    """Empty where there is no score yet: an import then changes nothing."""
    for item in sheet.course.assignments:
        score = sheet.score(item, learner)
        yield score.score if score else ""


def names(name: str) -> tuple[str, str]:
    """Family and given name. A Korean name without a space has one syllable of family name."""
    first, _space, last = name.strip().rpartition(" ")
    if first:
        return last, first
    if 2 <= len(last) <= 4 and all("가" <= letter <= "힣" for letter in last):
        return last[:1], last[1:]
    return last, ""
