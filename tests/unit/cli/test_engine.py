"""Starting and giving back an engine, with a stand-in for dockerd and a real supervisord."""

import tempfile
from pathlib import Path

import pytest

from cli import engine
from cli.supervised import Supervised


class _Containers:
    def __init__(self, running):
        self.running = running

    def list(self):
        return self.running


class _Client:
    def __init__(self, running):
        self.containers = _Containers(running)


@pytest.fixture
def home(monkeypatch):
    """An engine home of its own, and a dockerd that answers as soon as its file is there."""
    with tempfile.TemporaryDirectory(prefix="dli-") as name:
        folder = Path(name)
        ready = folder / "ready"
        program = folder / "dockerd"
        program.write_text(f"#!/bin/sh\necho started\ntouch {ready}\nexec sleep 1000\n")
        program.chmod(0o755)
        home = folder / "engine"
        running: list[str] = []

        def connect():
            if not ready.exists():
                raise engine.EngineDown("no engine", "install one")
            return _Client(running)

        monkeypatch.setattr(engine, "HOME", home)
        monkeypatch.setattr(engine, "connect", connect)
        monkeypatch.setattr(engine, "which", lambda tool: str(program))
        monkeypatch.setattr(engine, "as_root", lambda: [])
        monkeypatch.setattr(engine, "systemd_runs", lambda: False)
        yield home, running
        if home.is_dir():
            Supervised(home).stop()


def _quiet(_line):
    return None


def test_the_last_instance_that_leaves_stops_our_engine(home):
    folder, _running = home
    engine.ensure("one", _quiet)
    engine.ensure("two", _quiet)
    assert engine.started_by_us()
    (state,) = Supervised(folder).states()
    assert not engine.release("one", _quiet)
    assert engine.started_by_us()
    assert engine.release("two", _quiet)
    assert not folder.exists()
    assert not Path(f"/proc/{state.pid}").exists()


def test_an_engine_with_containers_stays(home):
    _folder, running = home
    engine.ensure("one", _quiet)
    running.append("somebody's container")
    said = []
    assert not engine.release("one", said.append)
    assert engine.started_by_us()
    assert "containers run on it" in said[0]


def test_an_engine_that_was_there_is_only_used(home, monkeypatch):
    folder, _running = home
    monkeypatch.setattr(engine, "connect", lambda: _Client([]))
    engine.ensure("one", _quiet)
    assert not engine.started_by_us()
    assert not engine.release("one", _quiet)
    assert not folder.exists()


def test_without_root_the_line_to_type_is_told(home, monkeypatch):
    monkeypatch.setattr(engine, "as_root", lambda: None)
    with pytest.raises(engine.EngineDown) as caught:
        engine.ensure("one", _quiet)
    assert "systemctl start docker" in caught.value.remedy


def test_an_engine_that_never_answers_shows_its_log(home, monkeypatch):
    def connect():
        raise engine.EngineDown("no engine", "install one")

    monkeypatch.setattr(engine, "connect", connect)
    monkeypatch.setattr(engine, "_START_S", 1)
    with pytest.raises(engine.EngineDown, match="started"):
        engine.ensure("one", _quiet)
