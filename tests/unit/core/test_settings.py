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
        (
            "[ports]\npublik = 1\n",
            "ports.publik = 1: unknown setting; did you mean public? "
            "Allowed in [ports]: public, proxy_api, hub, usage, grader",
        ),
        ("[ports]\npublic = 70000\n", "ports.public = 70000: Input should be less than"),
        ('[site]\nlanguage = "fr"\n', "site.language = 'fr': Input should be 'ko' or 'en'"),
        ("colour = 1\n", "colour = 1: unknown setting; Allowed at the top: instance, state_dir"),
        ("[lab]\ncpus = 1\n", "did you mean labs? Allowed at the top: "),
        ('state_dir = "var"\n', "state_dir = 'var': must be an absolute path"),
        (
            "[ports]\nusage = 8081\n",
            "ports.hub and ports.usage are both 8081; give each a port of its own",
        ),
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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("DLI_USAGE__XYZ", "DLI_USAGE__XYZ = '1': unknown setting; Allowed in [usage]: data"),
        ("DLI_USAGE__GRANT_SECOND", "did you mean grant_seconds?"),
        ("DLI_SIDE__HOST", "DLI_SIDE__HOST = '1': unknown setting; did you mean site?"),
        ("DLI_PORTS__HUB__X", "DLI_PORTS__HUB__X = '1': unknown setting"),
    ],
)
def test_an_unknown_environment_setting_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as error:
        load()
    assert says in str(error.value)


def test_a_refusal_shows_no_password(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLI_USAGE__DATABSE", "postgresql://dli:secret@db/usage")
    with pytest.raises(SettingsError, match="did you mean database") as error:
        load()
    assert "secret" not in str(error.value)
    assert "postgresql://dli:…@db/usage" in str(error.value)


def test_what_a_lab_is_told_is_no_setting(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLI_LANG", "ko")
    assert load() == Settings()


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
