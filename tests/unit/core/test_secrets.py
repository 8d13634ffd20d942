"""Secrets are generated once and are readable by their owner alone."""

from pathlib import Path

import pytest

from core import secrets


def test_made_once_and_private(tmp_path: Path) -> None:
    secrets.ensure(tmp_path)
    first = {name: secrets.load(tmp_path, name) for name in secrets.NAMES}
    secrets.ensure(tmp_path)
    assert first == {name: secrets.load(tmp_path, name) for name in secrets.NAMES}
    assert len(set(first.values())) == len(secrets.NAMES)
    assert all(len(value) == 64 for value in first.values())
    for path in (tmp_path / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyError, match="unknown secret"):
        secrets.load(tmp_path, "../../etc/passwd")
