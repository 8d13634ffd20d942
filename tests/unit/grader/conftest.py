"""The running service for the tests of this folder, one per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.grading import Service, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("grader")) as service:
        yield service
