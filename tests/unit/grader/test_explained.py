"""Why a job failed is kept once and said to each reader in their own language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import grader
from core import course as courses
from core import secrets
from core.course import CourseError
from core.i18n import N_
from grader import audit, explained, intake, labels
from grader.audit import AuditRow
from grader.client import GraderClient
from grader.explained import CourseFault, Explained
from grader.models import Job, Score
from grader.publish import Unpublishable
from tests.agreeable import Agreeable
from tests.grading import Service
from tests.unit.grader.test_marking import pages, submit  # noqa: F401 (a fixture)
from tests.unit.grader.test_pages import get
from web import i18n

LOCALE = Path(grader.__file__).parent / "locale"
SENTENCE = N_("The assignment %(assignment)s was never published.")


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    i18n.use("en")
    yield
    i18n.use("en")


def in_korean(kept: str) -> str:
    i18n.use("ko", (LOCALE,))
    return labels.why(kept)


def test_it_is_kept_as_a_sentence_and_its_values() -> None:
    error = Explained(SENTENCE, assignment="50%")
    assert str(error) == "The assignment 50% was never published."
    assert labels.why(error.kept()) == str(error)
    assert in_korean(error.kept()) == "과제 50% 이(가) 아직 공개되지 않았습니다."
    assert str(explained.read(error.kept())) == str(error)


def test_a_long_value_is_cut_and_stays_readable() -> None:
    kept = Explained(SENTENCE, assignment="x" * 100_000).kept()
    assert len(kept) < 2000
    assert in_korean(kept).startswith("과제 xxx")


@pytest.mark.parametrize(
    "old",
    [
        "grading container: no space left on device", "", "50 % of it", "17", "null", "[1]", "{}",
        '{"sentence": "%(gone)s is missing", "x": 1}', '{"sentence": 1, "x": 1}',
    ],
)  # fmt: skip
def test_what_an_older_version_kept_is_shown_as_it_is(old: str) -> None:
    assert in_korean(old) == old


def test_every_failure_is_explained(tmp_path: Path) -> None:
    (tmp_path / "c1").mkdir()
    with pytest.raises(CourseError) as wrong:
        courses.load(tmp_path / "c1", {})
    assert "과정 폴더를 쓸 수 없습니다" in in_korean(explained.of(wrong.value).kept())
    assert "KeyError: 'a'" in in_korean(explained.of(KeyError("a")).kept())
    for kind in (Unpublishable, CourseFault, intake.Unacceptable):
        error = kind(SENTENCE, assignment="a")
        assert explained.of(error) is error
    assert isinstance(CourseFault(SENTENCE, assignment="a"), CourseError)


def test_a_refused_upload_and_its_later_grading_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"not a tar")
    with pytest.raises(intake.Unacceptable) as no:
        intake.check(tmp_path / "upload", 1000, 10)
    i18n.use("ko", (LOCALE,))
    assert labels.said(no.value) == labels.why(no.value.kept())
    assert "tar" in labels.said(no.value)
    assert not labels.said(no.value).isascii()


def test_what_detectors_found_is_said_in_korean() -> None:
    what = (
        "numpy.allclose is not the imported one (replaced-function), builtins.len "
        "(replaced-builtin), np is not numpy (replaced-module), a trace function was set (trace)"
    )
    i18n.use("ko", (LOCALE,))
    said = labels.flag({"flag": "changed-library", "cell": "t", "what": what})
    for part in ("바뀐 함수: numpy.allclose", "바뀐 내장 함수: builtins.len", "np ≠ numpy"):
        assert part in said
    assert "imported" not in said
    assert "something new" in labels.flag({"flag": "noticed", "what": "something new"})


def test_the_audit_logs_facts_are_words() -> None:
    row = AuditRow(details='{"again": false, "early": true, "kind": "canvas", "odd": ""}')
    assert audit.details(row) == "before the closing time, format: canvas, odd: –"
    i18n.use("ko", (LOCALE,))
    assert "마감 전" in audit.details(row)


def test_an_older_row_stays_readable_on_the_page(pages: Service) -> None:  # noqa: F811
    mine = submit(pages, "emil")
    with pages.app.state.desk.database.write() as session:
        job = session.query(Job).filter_by(submission_id=mine, kind="grade").one()
        job.state, job.reason = "parked", "grading container: killed"
        job.finished_at = job.created_at
    for path in ("/courses/c1", f"/submissions/{mine}"):
        assert "grading container: killed" in get(pages, path, "ines", "ko").text
    with pages.app.state.desk.database.write() as session:
        session.query(Job).filter_by(submission_id=mine).delete()
    while pages.worker(Agreeable()).step():
        pass


def test_the_command_line_gets_its_own_language(pages: Service) -> None:  # noqa: F811
    desk = pages.app.state.desk
    mine = submit(pages, "dora")
    while pages.worker(Agreeable()).step():
        pass
    flag = {"flag": "changed-library", "cell": "t", "what": "np is not numpy (replaced-module)"}
    with desk.database.write() as session:
        job = session.query(Job).filter_by(submission_id=mine, kind="grade").one()
        job.state, job.reason = "parked", Explained(SENTENCE, assignment="sums").kept()
        batch = job.batch
        session.query(Score).filter_by(submission_id=mine).one().flags = [flag]
    key = secrets.load(pages.settings.state_dir, "key-cli")
    client = GraderClient(pages.url, key, language="ko")
    try:
        assert client.progress(batch).reasons == ["과제 sums 이(가) 아직 공개되지 않았습니다."]
        (row,) = [row for row in client.results("c1", "sums") if row.username == "dora"]
    finally:
        client.close()
    assert row.reason == "과제 sums 이(가) 아직 공개되지 않았습니다."
    assert "바뀐 모듈: np ≠ numpy" in row.flags[0]["message"]
