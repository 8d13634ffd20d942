"""A course folder that is added while the service runs can be given to a cohort."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import secrets, shelf
from core.settings import Settings
from tests.grading_course import COURSE, write_course
from tests.unit.usage.server import HubDouble
from usage.app import create_app
from usage.client import CohortSpec
from usage.refusals import No

SPEC = CohortSpec(
    id="a", name="A", courses=["c2"], starts="2026-01-01T00:00:00Z", ends="2100-01-01T00:00:00Z"
)


def test_a_cohort_takes_a_course_that_was_added_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "LOOK_SECONDS", 0)
    secrets.ensure(tmp_path)
    write_course(tmp_path / "courses" / "c1")
    app = create_app(Settings(state_dir=tmp_path, courses_dir=tmp_path / "courses"), HubDouble())
    with pytest.raises(No):
        app.state.usage.put_cohort(SPEC)
    write_course(tmp_path / "courses" / "c2")
    (tmp_path / "courses" / "c2" / "course.toml").write_text(COURSE.replace('"c1"', '"c2"'))
    app.state.usage.put_cohort(SPEC)
    assert [c.courses for c in app.state.usage.all_cohorts()] == [["c2"]]
    assert app.state.usage.members("a") == []
    app.state.usage.database.close()
