"""The short form of `./dli bench fuzz`: no parser of other people's input crashes or hangs."""

from __future__ import annotations

import pytest

from benchmarks import fuzz
from tests.security.attacks import note

REACHED = {"roster (CSV)", "notebook", "submission (tar)", "fetched course (tar)"}

pytestmark = pytest.mark.filterwarnings("ignore:Non-unique cell id")


@pytest.mark.parametrize("target", fuzz.targets(), ids=lambda target: target.name)
def test_a_parser_only_accepts_or_refuses(target: fuzz.Target) -> None:
    fuzz.fuzz(target, 150)
    seen = f"{target.crashes} crashes, {target.hangs} hangs, {target.accepted} accepted"
    note(__name__, f"{target.name}: {target.tried} inputs", "no crash, no hang", seen)
    assert target.found == []
    assert target.tried >= 150
    if target.name in REACHED:  # else nothing behind the first check was tried
        assert target.accepted > 0


def test_crashes_and_hangs_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "HANG_S", 0.05)

    def broken(data: bytes, _folder: object) -> None:
        while len(data) > 20:
            pass
        raise KeyError(len(data))

    target = fuzz.Target(
        "broken", fuzz.st.sampled_from([b"short", b"x" * 40]), broken, (ValueError,)
    )
    fuzz.fuzz(target, 12)
    assert target.crashes + target.hangs == target.tried
    assert target.crashes
    assert target.hangs
