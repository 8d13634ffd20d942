"""Every setting refuses a wrong value, by name and in the language of the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.doctor import examine
from cli.errors import explain
from core.settings import Settings, SettingsError, load

WRONG_TEXT = {
    "instance": "Two Words",
    "state_dir": "var",
    "courses_dir": "courses",
    "site.name": "",
    "site.url": "labs.example.org",
    "site.language": "fr",
    "site.timezone": "Asia/Seol",
    "usage.database": "mysql://host/name",
    "grader.database": "/var/lib/grader.sqlite",
}
"""Texts that a setting refuses; the others take any."""


def limits(field: Any) -> dict[str, float]:
    """Its least and greatest value."""
    found: dict[str, float] = {}
    for rule in field.metadata:
        found |= {k: getattr(rule, k) for k in ("ge", "gt", "le") if hasattr(rule, k)}
    return found


def wrong_values() -> Iterator[tuple[str, Any]]:
    """(setting, a value that it refuses): of another type, and just outside its limits."""
    for section, model in Settings.model_fields.items():
        fields = getattr(model.annotation, "model_fields", None)
        named = {f"{section}.{k}": f for k, f in fields.items()} if fields else {section: model}
        for name, field in named.items():
            yield name, {"a": 1} if field.annotation is not dict else 1
            if name in WRONG_TEXT:
                yield name, WRONG_TEXT[name]
            allowed = limits(field)
            if "ge" in allowed:
                yield name, allowed["ge"] - 1
            if "gt" in allowed:
                yield name, allowed["gt"]
            if "le" in allowed:
                yield name, allowed["le"] + 1


ALL = [*wrong_values(), ("usage.warn_minutes", [30, 0]), ("gpus.factors", {"NVIDIA L4": "0"})]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "dli.toml"
    monkeypatch.setenv("DLI_SETTINGS", str(path))
    return path


@pytest.mark.parametrize(("name", "value"), ALL, ids=[f"{name}={value}" for name, value in ALL])
def test_a_wrong_value_is_refused(
    file: Path, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    section, _, key = name.partition(".")
    text = f"[{section}]\n{key} = {toml(value)}\n" if key else f"{section} = {toml(value)}\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load()
    assert {problem.name for problem in refused.value.problems if problem.name.startswith(name)}
    told = explain(refused.value)
    assert told is not None
    line = str(told).splitlines()[0]
    assert line.startswith(name)
    assert re.search("[가-힣]", line), f"not in Korean: {line}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[gpus]\nsimulated = "banana"\n', "gpus.simulated: cannot read 'banana'"),
        ('[site]\nconsent_file = "/nowhere.toml"\n', "/nowhere.toml"),
        ("[ports]\npublic = 0\n", "ports.public = 0"),
    ],
)
def test_nothing_starts_with_what_cannot_be_read(
    file: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    file.write_text(text, encoding="utf-8")
    (row,) = examine()
    assert row.blocks
    assert says in row.found
    monkeypatch.setattr("sys.argv", ["./dli", "up"])
    monkeypatch.setattr("cli.up.bring_up", lambda *_a, **_k: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1


def toml(value: Any) -> str:
    """As it stands in a settings file."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {json.dumps(v)}' for k, v in value.items()) + " }"
    return json.dumps(value)


def test_two_services_on_one_port_are_both_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[ports]\ngrader = 8000\n")
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    with pytest.raises(SettingsError) as wrong:
        load()
    told = explain(wrong.value)
    assert told is not None
    for part in ("ports.public", "ports.grader", "8000", "서로 다른 포트"):
        assert part in str(told)
