"""One line per event; hostile values cannot forge a line or flood the log."""

import io
import json
import logging

import pytest

from core import log


def test_a_hostile_name_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    log.setup()
    log.event(logging.getLogger("usage"), "lease reserved", person="a\n{}" + "x" * 10**6, lease="l")
    lines = out.getvalue().splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["event"] == "lease reserved"
    assert line["person"].startswith("a\n{}x")
    assert len(lines[0]) < 1000
