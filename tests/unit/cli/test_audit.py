"""What `./dli audit` asks: our own locks, by tools that are there."""

from __future__ import annotations

from pathlib import Path

from cli import audit
from core.settings import ROOT


def test_every_lock_is_asked_about(tmp_path: Path) -> None:
    asked = {name: (words, folder) for name, words, folder in audit.commands(tmp_path)}
    locks = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("*/package-lock.json")}
    assert set(asked) == {"requirements.lock", *locks}
    for name, (words, folder) in asked.items():
        if name != "requirements.lock":
            assert all(Path(word).exists() for word in words[:2])
            assert (folder / "package-lock.json").exists()
