"""A course folder that is added while the service runs is published, worked on and graded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from core import shelf
from core.wire import Enrolment
from grader import upkeep
from grader.exchange import archive
from grader.exchange.client import Refused
from tests.agreeable import Agreeable
from tests.grading import running
from tests.grading_course import COURSE, source_notebook, write_course


def test_a_course_added_while_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(upkeep, "_LOOK_SECONDS", 0.1)
    data = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
    with running(tmp_path) as service:
        service.usage.courses.append("c2")
        with pytest.raises(Refused, match="no such course"):
            service.client("ines").act("c2", "sums", "publish")
        write_course(tmp_path / "new")
        (tmp_path / "new" / "course.toml").write_text(COURSE.replace('"c1"', '"c2"'))
        (tmp_path / "new").rename(tmp_path / "courses" / "c2")
        welcome = service.settings.state_dir / "materials" / "c2" / "ko" / "README.md"
        until = time.monotonic() + 120
        while not welcome.exists():
            assert time.monotonic() < until, "its material was not built"
            time.sleep(0.1)
        service.client("ines").act("c2", "sums", "publish")
        worker = service.worker(Agreeable())
        while worker.step():
            pass
        receipt = service.client("ada").submit("c2", "sums", data)
        assert (receipt.course, receipt.attempt) == ("c2", 1)
        service.usage.more["ada"] = [Enrolment("later", "trainee", ["c1"], True)]
        assert service.client("ada").submissions("c2", "sums")[0]["cohort"] == "autumn"
