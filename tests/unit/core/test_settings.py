"""One typed settings file; wrong or unknown keys are refused by name."""

from pathlib import Path

import pytest

from core import settings as module
from core.settings import Settings, SettingsError, environment, load


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "dli.toml"
    monkeypatch.setenv("DLI_SETTINGS", str(path))
    return path


def test_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[ports]\npublic = 9000\nhub = 9001\n[site]\nname = "Gyeongnam AI"\n')
    monkeypatch.setenv("DLI_PORTS__HUB", "9002")
    settings = load()
    assert (settings.ports.public, settings.ports.hub) == (9000, 9002)
    assert settings.site.name == "Gyeongnam AI"
    assert settings.public_url == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ports]\npublik = 1\n", "ports.publik: unknown setting"),
        ("[ports]\npublic = 70000\n", "ports.public = 70000: Input should be less than"),
        ('[site]\nlanguage = "fr"\n', "site.language = 'fr': Input should be 'ko' or 'en'"),
        ("colour = 1\n", "colour: unknown setting"),
        ('state_dir = "var"\n', "state_dir must be an absolute path"),
        ("[ports\n", "dli.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_name_value_and_what_is_allowed(
    file: Path, text: str, says: str
) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load()
    assert says in str(error.value)


def test_an_unknown_environment_setting_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_USAGE__GRANTS", "1")
    with pytest.raises(SettingsError, match="DLI_USAGE__GRANTS"):
        load()


def test_another_process_loads_exactly_these_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = Settings(
        instance="t-1",
        state_dir=tmp_path,
        gpus=module.Gpus(simulated="2x NVIDIA H100 80GB, MIG 7"),
        usage=module.Usage(warn_minutes=[0.5, 0.1]),
        labs=module.Labs(images={"lab-cpu": "x:1"}),
    )
    for name, value in environment(mine).items():
        monkeypatch.setenv(name, value)
    assert load() == mine
