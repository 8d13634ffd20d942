"""The extension's texts: both languages complete, nothing left over, fields kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli import image_extension
from core.i18n import LANGUAGES

_FIELD = re.compile(r"\{\w+\}")
_STRING = r"'((?:[^'\\]|\\.)*)'"
_TS = re.compile(rf"\bsay\(\s*({_STRING}(?:\s*\+\s*{_STRING})*)", re.S)
_PY = re.compile(r"_say\(\s*((?:\"[^\"]*\"\s*)+)", re.S)


def _typescript(file: Path) -> set[str]:
    return {
        "".join(re.findall(_STRING, found[0])) for found in _TS.findall(file.read_text("utf-8"))
    }


def _python(file: Path) -> set[str]:
    return {
        "".join(re.findall(r"\"([^\"]*)\"", found))
        for found in _PY.findall(file.read_text("utf-8"))
    }


def _used() -> set[str]:
    found: set[str] = set()
    for file in (image_extension.FOLDER / "src").glob("*.ts"):
        found |= _typescript(file)
    for file in (image_extension.FOLDER / "dli_lab").glob("*.py"):
        found |= _python(file)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogues_hold_exactly_the_texts_in_use(language: str) -> None:
    assert set(image_extension.catalogues()[language]) == _used()


def test_korean_keeps_every_field_and_translates_every_text() -> None:
    for english, korean in image_extension.catalogues()["ko"].items():
        assert sorted(_FIELD.findall(english)) == sorted(_FIELD.findall(korean)), english
        assert korean != english
        assert re.search("[가-힣]", korean) or "GPU" in korean, korean


def test_the_lock_names_no_registry() -> None:
    assert "://" not in (image_extension.FOLDER / "package-lock.json").read_text()
