"""Slugs are always valid Docker names and never collide."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from core.ids import is_id, new_id, slug

_DOCKER_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@given(st.text(max_size=200))
@example("x" * 1_000_000)
@example("../../etc")
@example("홍길동")
def test_a_slug_is_a_short_docker_name(name: str) -> None:
    made = slug(name)
    assert _DOCKER_NAME.fullmatch(made)
    assert len(made) <= 40


@given(st.text(max_size=30), st.text(max_size=30))
@example("a b", "a-b")
@example("A", "a")
def test_different_people_have_different_slugs(one: str, other: str) -> None:
    assert one == other or slug(one) != slug(other)


def test_nobody_can_choose_the_slug_of_somebody_else() -> None:
    assert slug(slug("Kim Min-su")) != slug("Kim Min-su")


def test_ids() -> None:
    assert is_id("intro-dl")
    assert is_id("a")
    for wrong in ("", "-a", "a-", "A", "a_b", "a" * 41, "a\n", "../a"):
        assert not is_id(wrong)
    assert new_id("lease") != new_id("lease")
