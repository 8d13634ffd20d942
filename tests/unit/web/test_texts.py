"""The reader's language, and numbers and times as it writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import i18n as core_i18n
from core.units import UNITS_PER_GPU_HOUR
from web import formats, i18n


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        ("ko", "en", "ko"),
        ("en", None, "en"),
        ("fr", "en-US,en;q=0.9", "en"),
        (None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, "en;q=0.5,ko;q=0.9", "ko"),
        (None, "fr,de", "ko"),
        (None, "en;q=0", "ko"),
        (None, "en;q=much", "ko"),
        (None, ";;;,,,=", "ko"),
        (None, "", "ko"),
        (None, None, "ko"),
    ],
)
def test_choice_then_browser_then_site(
    cookie: str | None, header: str | None, language: str
) -> None:
    assert core_i18n.choose(cookie, header, "ko") == language


def test_a_broken_catalogue_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ko" / "LC_MESSAGES" / "messages.po"
    file.parent.mkdir(parents=True)
    file.write_text('msgid "a"\nnonsense\n')
    with pytest.raises(core_i18n.CatalogueError, match=r"messages\.po"):
        core_i18n.translations(tmp_path, "ko")


def test_the_room_wins_over_web(tmp_path: Path) -> None:
    file = tmp_path / "ko" / "LC_MESSAGES" / "messages.po"
    file.parent.mkdir(parents=True)
    file.write_text('msgid "Home"\nmsgstr "나의 홈"\n', encoding="utf-8")
    i18n.use("ko", (tmp_path,))
    assert i18n.gettext("Home") == "나의 홈"
    assert i18n.gettext("Sign out") == "로그아웃"
    assert i18n.ngettext("%d lab", "%d labs", 2) == "%d labs"
    i18n.use("en", (tmp_path,))
    assert i18n.gettext("Home") == "Home"


@pytest.mark.parametrize(
    ("seconds", "korean", "english"),
    [
        (0, "0초", "0 sec"),
        (-5, "0초", "0 sec"),
        (59.9, "59초", "59 sec"),
        (60, "1분", "1 min"),
        (3600, "1시간", "1 hr"),
        (3605, "1시간", "1 hr"),
        (12000, "3시간 20분", "3 hr, 20 min"),
        (90061, "1일 1시간", "1 day, 1 hr"),
    ],
)
def test_durations(seconds: float, korean: str, english: str) -> None:
    i18n.use("ko")
    assert formats.duration(seconds) == korean
    i18n.use("en")
    assert formats.duration(seconds) == english.replace(",", "")


def test_numbers_and_times() -> None:
    i18n.use("en")
    assert formats.number(1234.567, 1) == "1,234.6"
    assert formats.percent(0.425, 1) == "42.5%"
    assert formats.gpu_hours(UNITS_PER_GPU_HOUR * 25 // 2) == "12.5"
    assert formats.gpu_hours(-UNITS_PER_GPU_HOUR) == "-1"
    assert formats.megabytes(512) == "512 MB"
    assert formats.megabytes(81920) == "80 GB"
    moment = datetime(2026, 11, 30, 15, 5, tzinfo=UTC)
    assert formats.moment(moment, "Asia/Seoul").replace("\u202f", " ") == (
        "Dec 1, 2026 12:05 AM (KST)"
    )
    i18n.use("ko")
    assert formats.moment(moment, "Asia/Seoul") == "2026. 12. 1. 00:05 (KST)"
    with pytest.raises(ValueError, match="zone"):
        formats.day(datetime(2026, 1, 1), "Asia/Seoul")
