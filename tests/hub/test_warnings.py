"""Warnings reach the page of a real lab when they are due; all of it: benchmarks/warnings.py."""

from __future__ import annotations

import pytest

from benchmarks import warnings
from tests.hub.stack import running_stack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

AFTER_S = (45.0,)


def test_every_warning_within_two_seconds_of_its_time() -> None:
    with running_stack(**warnings.settings_for(2, 5, AFTER_S)) as stack:
        seen = warnings.watch(stack, ["ada", "bob"], AFTER_S, print)
    assert [one.delivered for one in seen] == [True, True], seen
