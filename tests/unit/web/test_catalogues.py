"""Every text that a person reads exists in both languages, in every room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core import i18n
from core.settings import ROOT
from web import catalogues


@pytest.mark.parametrize("room", catalogues.ROOMS)
def test_every_text_is_translated(room: str) -> None:
    assert catalogues.check(ROOT / room) == []


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A small room with one text in Python and one plural in a template."""
    folder = tmp_path / "room"
    (folder / "templates").mkdir(parents=True)
    (folder / "a.py").write_text('print(_("Hello %(name)s"))\n')
    (folder / "templates" / "a.html").write_text(
        '{{ ngettext("%(num)d lab", "%(num)d labs", 2) }}{% trans %}Ready{% endtrans %}\n'
    )
    return folder


def _replace(room: Path, old: str, new: str) -> None:
    file = catalogues.po_file(room, "ko")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def _translate(room: Path) -> None:
    catalogues.update(room)
    for english, korean in (
        ('msgid "Hello %(name)s"\nmsgstr ""', 'msgid "Hello %(name)s"\nmsgstr "%(name)s님"'),
        ('msgid "Ready"\nmsgstr ""', 'msgid "Ready"\nmsgstr "준비됨"'),
        ('msgstr[0] ""', 'msgstr[0] "실습 %(num)d개"'),
    ):
        _replace(room, english, korean)


def test_update_keeps_translations_and_fills_english(room: Path) -> None:
    _translate(room)
    assert catalogues.update(room) == []
    korean = i18n.translations(room / "locale", "ko")
    english = i18n.translations(room / "locale", "en")
    assert korean.gettext("Ready") == "준비됨"
    assert korean.ngettext("%(num)d lab", "%(num)d labs", 1) == "실습 %(num)d개"
    assert english.ngettext("%(num)d lab", "%(num)d labs", 1) == "%(num)d lab"


def test_a_new_text_is_reported_until_translated(room: Path) -> None:
    _translate(room)
    (room / "b.py").write_text('_("New")\n')
    assert any("missing: 'New'" in line for line in catalogues.check(room))
    assert catalogues.update(room) == ["room (ko): not translated: 'New'"]


def test_a_text_that_went_away_is_reported(room: Path) -> None:
    _translate(room)
    (room / "a.py").unlink()
    assert any("not used any more" in line for line in catalogues.check(room))


def test_a_fuzzy_text_is_reported(room: Path) -> None:
    _translate(room)
    _replace(room, 'msgid "Ready"', '#, fuzzy\nmsgid "Ready"')
    assert catalogues.check(room) == ["room (ko): fuzzy: 'Ready'"]


def test_a_lost_placeholder_is_reported(room: Path) -> None:
    _translate(room)
    _replace(room, "%(name)s님", "%(nmae)s님")
    assert len(catalogues.check(room)) == 1
    assert "other placeholders" in catalogues.check(room)[0]


def test_a_room_without_texts_needs_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "silent").mkdir()
    assert catalogues.check(tmp_path / "silent") == []
    shutil.rmtree(tmp_path / "silent")
