"""supervisord.conf and the systemd unit, and a real supervisord with real processes."""

import configparser
import os
import signal
import time
from pathlib import Path

import pytest

from cli import supervisor
from cli.errors import CliError
from cli.supervised import Supervised
from core.settings import Settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DLI_SETTINGS", str(tmp_path / "none.toml"))
    return Settings(instance="t-conf", state_dir=tmp_path / "100% 'mine'", grader={"workers": 2})


def test_config_names_every_process_and_survives_odd_paths(settings):
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation())
    parser.read_string(supervisor.config(settings, python="/opt/a b/python"))
    names = [name.partition(":")[2] for name in parser.sections() if name.startswith("program:")]
    assert names == ["proxy", "usage", "grader", "runner", "hub", "agent", "worker-1", "worker-2"]
    worker = parser["program:worker-2"]
    assert worker["command"] == "'/opt/a b/python' -m grader.worker"
    assert worker["stdout_logfile"] == f"{settings.state_dir}/logs/worker-2.log"
    assert worker["autorestart"] == "true"
    assert worker["stdout_logfile_maxbytes"] == "10MB"
    assert worker["stdout_logfile_backups"] == "5"


def test_processes_get_exactly_these_settings(settings, monkeypatch):
    monkeypatch.setenv("DLI_INSTANCE", "another")
    environment = supervisor.process_environment(settings)
    assert environment["DLI_INSTANCE"] == "t-conf"
    assert environment["DLI_GRADER__WORKERS"] == "2"
    assert "DLI_INSTANCE" not in supervisor._clean_environment()


def test_write_says_whether_anything_changed(settings):
    assert supervisor.write(settings)
    assert not supervisor.write(settings)
    other = settings.model_copy(update={"instance": "t-other"})
    assert supervisor.write(other)
    for file in ("supervisord.conf", "environment.json"):
        mode = (supervisor.run_dir(settings) / file).stat().st_mode & 0o777
        assert mode == 0o600


def test_the_unit_has_no_word_left_to_fill_in(settings):
    text = supervisor.unit_text(settings, python="/opt/python")
    assert "@" not in text.replace("@ @", "")
    run = str(supervisor.run_dir(settings)).replace("%", "%%")
    assert f"ExecStart=/opt/python -m cli.supervisor {run}" in text


@pytest.fixture
def supervised(tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dli-") as folder:
        supervised = Supervised(Path(folder))
        yield supervised
        supervised.stop()


def test_a_killed_process_comes_back_and_a_stop_leaves_nothing(supervised):
    program = "\n[program:sleeper]\ncommand=sleep 1000\nstartsecs=0\nautorestart=true\n"
    supervised.conf.write_text(supervised.common() + program)
    supervised.start()
    first = _pid(supervised)
    os.kill(first, signal.SIGKILL)
    second = _pid(supervised, other_than=first)
    assert second != first
    supervised.stop()
    assert not supervised.running()
    assert not Path(f"/proc/{second}").exists()


def test_a_log_that_grows_is_rotated_and_the_oldest_part_is_dropped(supervised):
    log = supervised.folder / "talker.log"
    words = "command=sh -c 'for n in 1 2 3 4 5; do head -c 15000 /dev/zero; sleep 0.1; done'"
    program = (
        f"\n[program:talker]\n{words}\nstartsecs=0\nautorestart=false\n"
        f"stdout_logfile={log}\nstdout_logfile_maxbytes=10KB\nstdout_logfile_backups=2\n"
    )
    supervised.conf.write_text(supervised.common() + program)
    supervised.start()
    deadline = time.monotonic() + 120
    while not Path(f"{log}.2").exists():
        assert time.monotonic() < deadline, list(supervised.folder.iterdir())
        time.sleep(0.05)
    assert not Path(f"{log}.3").exists()


def _pid(supervised, other_than=0):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        (state,) = supervised.states()
        if state.state == "RUNNING" and state.pid != other_than:
            return state.pid
        time.sleep(0.05)
    raise AssertionError(supervised.states())


def test_a_wrong_conf_is_told_with_supervisords_own_words(supervised):
    supervised.conf.write_text("[supervisord]\nnodaemon=perhaps\n")
    with pytest.raises(CliError, match="perhaps"):
        supervised.start()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    with pytest.raises(CliError, match="too long") as caught:
        Supervised(tmp_path / ("x" * 100))
    assert "state_dir" in caught.value.remedy
