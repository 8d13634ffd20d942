"""One platform for the tests of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform import RunningPlatform, running_platform


@pytest.fixture(scope="module")
def platform() -> Iterator[RunningPlatform]:
    """A platform as `./dli up` makes it."""
    with running_platform() as up:
        yield up
