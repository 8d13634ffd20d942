"""Warnings reach the page of a real lab, none before its time.

How late at most, and with more labs: benchmarks/warnings.py.
"""

from __future__ import annotations

import pytest

from benchmarks import warnings
from tests.hub.stack import running_stack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

AFTER_S = (25.0,)


def test_every_lab_shows_its_warning() -> None:
    with running_stack(**warnings.settings_for(2, 5, AFTER_S)) as stack:
        seen = warnings.watch(stack, ["ada", "bob"], AFTER_S, print)
    late = [one.late_s for one in seen]
    assert None not in late, seen
    assert min(late) > -warnings.WITHIN_S, seen
