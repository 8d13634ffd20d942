"""A taken port is told with its setting and its holder."""

import os
import socket

import pytest

from cli import ports
from cli.errors import CliError
from core.settings import Settings


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def _settings(monkeypatch, tmp_path, **given):
    monkeypatch.setenv("DLI_SETTINGS", str(tmp_path / "none.toml"))
    return Settings(**given)


def test_a_taken_port_names_setting_and_holder(monkeypatch, tmp_path, taken):
    settings = _settings(monkeypatch, tmp_path, ports={"usage": taken})
    with pytest.raises(CliError) as caught:
        ports.check(settings, "127.0.0.1")
    assert f"Port {taken} on 127.0.0.1 (ports.usage) is taken by" in str(caught.value)
    assert f"process {os.getpid()}" in str(caught.value)
    assert "DLI_PORTS__USAGE" in caught.value.remedy


def test_an_address_of_another_machine_is_told(monkeypatch, tmp_path):
    settings = _settings(monkeypatch, tmp_path, site={"host": "192.0.2.7"})
    with pytest.raises(CliError, match=r"192\.0\.2\.7 is not an address of this machine"):
        ports.check(settings, "127.0.0.1")


def test_labs_reach_the_public_port_on_their_gateway_too(monkeypatch, tmp_path):
    settings = _settings(monkeypatch, tmp_path)
    public = [a.host for a in ports.needed(settings, "10.9.0.1") if a.setting == "ports.public"]
    assert public == ["127.0.0.1", "10.9.0.1"]
    everywhere = _settings(monkeypatch, tmp_path, site={"host": "0.0.0.0"})
    public = [a.host for a in ports.needed(everywhere, "10.9.0.1") if a.setting == "ports.public"]
    assert public == ["0.0.0.0"]
