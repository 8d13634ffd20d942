"""Steps on a terminal and in a log."""

import io
import re

import pytest
from rich.console import Console

from cli import steps as steps_module
from cli.steps import Steps


def _console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_step_ends_with_its_time_and_note(terminal):
    console = _console(terminal)
    with Steps(console).step("Images") as step:
        step.detail("building")
        step.note("4 images")
    last = console.file.getvalue().splitlines()[-1]
    assert re.search(r"✓ Images  \d+\.\d s  4 images", last)


def test_a_failed_step_shows_a_cross_and_the_error_goes_on():
    console = _console(terminal=False)
    with pytest.raises(ValueError, match="broken"), Steps(console).step("Images"):
        raise ValueError("broken")
    assert "✗ Images" in console.file.getvalue()


def test_in_a_log_details_come_now_and_then(monkeypatch):
    now = 0.0
    monkeypatch.setattr(steps_module.time, "monotonic", lambda: now)
    console = _console(terminal=False)
    with Steps(console).step("Images") as step:
        step.detail("too soon")
        now = steps_module._PLAIN_EVERY_S
        step.detail("[bold]layer 3")
    text = console.file.getvalue()
    assert "too soon" not in text
    assert "[bold]layer 3" in text
