"""Doctor: versions with a known escape are refused; a wrong setting is a row, not a traceback."""

import pytest

from cli import doctor


@pytest.mark.parametrize(
    ("version", "state"),
    [("1.16.1", "missing"), ("1.16.2", "missing"), ("1.17.7", "missing"), ("1.17.8", "ok")],
)
def test_toolkit_versions(version, state):
    check = doctor.toolkit_check(f"NVIDIA Container Toolkit CLI version {version}\ncommit: 9\n")
    assert check.state == state
    assert check.blocks == (state == "missing")


def test_both_holes_are_named():
    found = doctor.toolkit_check("NVIDIA Container Toolkit CLI version 1.14.0").found
    assert "CVE-2024-0132" in found
    assert "CVE-2025-23266" in found


def test_an_unreadable_toolkit_version_is_only_a_note():
    assert doctor.toolkit_check("what?").state == "warning"


def test_vfs_is_a_note():
    assert doctor.storage_check("vfs").state == "warning"
    assert doctor.storage_check("overlay2").state == "ok"


def test_labs_on_the_platforms_own_origin_are_said() -> None:
    assert doctor.names_check(True).state == "ok"
    shared = doctor.names_check(False)
    assert (shared.state, shared.blocks) == ("warning", False)
    assert "subdomains" in shared.remedy


def test_who_may_use_docker_beside_the_hub_is_said():
    assert doctor.socket_check(True, []).state == "ok"
    assert doctor.socket_check(False, ["name=seccomp,profile=default"]).state == "warning"
    assert doctor.socket_check(False, ["name=rootless"]).state == "ok"


def test_a_wrong_setting_is_a_row(monkeypatch):
    monkeypatch.setenv("DLI_PORTS__PUBLIC", "0")
    (check,) = doctor.examine()
    assert check.blocks
    assert "ports.public = '0'" in check.found


def test_a_failing_check_is_a_row(monkeypatch):
    def broken():
        raise RuntimeError("no such driver")

    monkeypatch.setattr("cli.engine.connect", broken)
    rows = doctor.examine()
    assert any("no such driver" in row.found for row in rows)
    assert any(row.name == "Python" and row.state == "ok" for row in rows)
