"""Every setting is documented: the texts equal what the settings themselves say."""

import tomllib

import pytest

from cli import settings_doc
from cli.first_run import SIMULATED, first_settings
from core.settings import Settings

REMEDY = "run: .venv/bin/python -m cli.settings_doc"


def test_the_example_is_what_the_settings_say():
    assert settings_doc.EXAMPLE.read_text(encoding="utf-8") == settings_doc.example(), REMEDY


def test_the_reference_is_what_the_settings_say():
    assert settings_doc.REFERENCE.read_text(encoding="utf-8") == settings_doc.reference(), REMEDY


def test_every_setting_has_a_meaning_and_a_variable():
    rows = list(settings_doc.rows())
    assert len(rows) > 30
    for row in rows:
        assert row.description, f"{row.section}.{row.key} has no description"
    variables = {row.environment for row in rows}
    assert {"DLI_INSTANCE", "DLI_PORTS__PUBLIC", "DLI_GPUS__SIMULATED"} <= variables


def test_limits_are_in_the_text():
    by_name = {row.environment: row for row in settings_doc.rows()}
    assert by_name["DLI_USAGE__GRANT_SECONDS"].allowed == "at least 5, at most 3600"
    assert by_name["DLI_SITE__LANGUAGE"].allowed == "`ko`, `en`"


def test_the_example_with_every_line_on_is_accepted(monkeypatch, tmp_path):
    """Each commented default is valid TOML and a valid value of its setting."""
    lines = [
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in settings_doc.example().splitlines()
    ]
    text = "\n".join(lines).replace("<checkout>", str(tmp_path))
    data = tomllib.loads(text)
    for name in ("DLI_SETTINGS",):
        monkeypatch.setenv(name, str(tmp_path / "none.toml"))
    assert Settings(**data).ports == Settings().ports


@pytest.mark.parametrize(("has_gpu", "simulated"), [(True, ""), (False, SIMULATED)])
def test_the_first_settings_simulate_only_without_a_gpu(has_gpu, simulated):
    data = tomllib.loads(first_settings(settings_doc.example(), has_gpu))
    assert data.get("gpus", {}).get("simulated", "") == simulated
