"""What a person may ask to start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from labs.order import OrderError, language_of, read
from tests.hub.stack import write_course


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("order")
    found = Settings(state_dir=folder / "state", courses_dir=folder / "courses")
    write_course(found)
    return found


RIGHT = {"course": "tiny", "lab": "optional", "cohort": "autumn", "gpu": "yes", "language": "en"}


def test_a_right_order(settings: Settings) -> None:
    order = read(RIGHT, settings)
    assert (order.course.id, order.lab.id, order.cohort, order.gpu) == (
        "tiny", "optional", "autumn", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"course": "nosuch"}, "There is no course nosuch."),
        ({"course": "../tiny"}, "There is no course ../tiny."),
        ({"course": "/etc"}, "There is no course /etc."),
        ({"lab": "nosuch"}, "The course Tiny course has no lab nosuch."),
        ({"course": "", "lab": ""}, "Please choose a course and a lab"),
        ({"gpu": "maybe"}, "The value of gpu cannot be used."),
        ({"gpu": ["yes"]}, "The value of gpu cannot be used."),
        ({"cohort": {"a": 1}}, "The value of cohort cannot be used."),
        ({"course": "x" * 1000}, "The value of course cannot be used."),
        ({"cohort": "no such"}, "Please choose the cohort"),
        ({"lab": "none"}, "This lab does not use a GPU."),
        ({"lab": "required", "gpu": "no"}, "This lab needs a GPU."),
        ({"lab": "{0.__class__}"}, "has no lab {0.__class__}."),
    ],
)
def test_a_wrong_order(settings: Settings, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OrderError) as caught:
        read({**RIGHT, **change}, settings)
    assert sentence in str(caught.value)


def test_a_course_that_cannot_be_read_is_said_without_its_path(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "s", courses_dir=tmp_path / "c")
    (tmp_path / "c" / "bad").mkdir(parents=True)
    (tmp_path / "c" / "bad" / "course.toml").write_text(json.dumps("{"))
    with pytest.raises(OrderError, match=r"The course bad cannot be used") as caught:
        read({**RIGHT, "course": "bad"}, settings)
    assert str(tmp_path) not in str(caught.value)


def test_sentences_follow_the_language(settings: Settings) -> None:
    with pytest.raises(OrderError, match="GPU가 필요합니다"):
        read({**RIGHT, "lab": "required", "gpu": "no", "language": "ko"}, settings)
    assert language_of({"language": "xx"}, settings) == "ko"
    assert language_of({"language": ["en"]}, settings) == "ko"
