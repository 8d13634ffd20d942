"""The line of starting labs: order, places, and no turn that is lost or held for ever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from labs import turns
from labs.turns import Turns


class Starts:
    """Starts that last until they are told to end; `log` says who began and who ended."""

    def __init__(self, line: Turns) -> None:
        self.line = line
        self.log: list[str] = []
        self.places: dict[str, list[int]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    def begin(self, name: str) -> asyncio.Task[None]:
        self.places[name] = []
        self.ends[name] = asyncio.Event()
        return asyncio.create_task(self._start(name))

    async def _start(self, name: str) -> None:
        async with self.line.turn(self.places[name].append):
            self.log.append(f"{name} begins")
            await self.ends[name].wait()
            self.log.append(f"{name} ends")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(story: Callable[[Starts], object], at_once: int = 1) -> Starts:
    async def main() -> Starts:
        starts = Starts(Turns(at_once))
        await asyncio.wait_for(story(starts), 60)  # type: ignore[arg-type]
        return starts

    return asyncio.run(main())


def test_as_many_as_allowed_start_and_the_others_follow_in_the_order_they_came() -> None:
    async def story(starts: Starts) -> None:
        tasks = []
        for name in "abcd":
            tasks.append(starts.begin(name))
            await settle()
        assert starts.log == ["a begins", "b begins"]
        for name in "badc":
            starts.ends[name].set()
            await settle()
        await asyncio.gather(*tasks)

    starts = run(story, at_once=2)
    assert starts.log == [
        "a begins", "b begins", "b ends", "c begins", "a ends", "d begins", "d ends", "c ends",
    ]  # fmt: skip
    assert starts.places == {"a": [], "b": [], "c": [1], "d": [2, 1]}


def test_a_start_that_fails_gives_its_turn_on() -> None:
    async def story(starts: Starts) -> None:
        with pytest.raises(RuntimeError):
            async with starts.line.turn(lambda _place: None):
                raise RuntimeError("no image")
        starts.ends["b"] = asyncio.Event()
        task = starts.begin("b")
        await settle()
        assert starts.log == ["b begins"]
        starts.ends["b"].set()
        await task

    run(story)


def test_who_leaves_the_line_takes_no_turn_along() -> None:
    async def story(starts: Starts) -> None:
        tasks = {name: starts.begin(name) for name in "abcd"}
        await settle()
        tasks["b"].cancel()
        await settle()
        assert starts.places["c"] == [2, 1], "the others move up"
        starts.ends["a"].set()
        tasks["c"].cancel()  # in the moment in which its turn comes, or just before
        await settle()
        assert starts.log[-1] == "d begins"
        starts.ends["d"].set()
        await tasks["d"]
        last = starts.begin("e")
        await settle()
        assert starts.log[-1] == "e begins"
        last.cancel()

    run(story)


def test_a_turn_that_came_as_its_start_was_cancelled_goes_on() -> None:
    async def story(starts: Starts) -> None:
        first, second, third = (starts.begin(name) for name in "abc")
        await settle()
        starts.ends["a"].set()
        await asyncio.sleep(0)  # `a` ends: the turn is b's, but b has not run yet
        second.cancel()
        await settle()
        assert starts.log[-1] == "c begins"
        third.cancel()
        await first

    run(story)


def test_a_start_that_hangs_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "HOLD_S", 0.05)

    async def story(starts: Starts) -> None:
        hanging, following = starts.begin("a"), starts.begin("b")
        await asyncio.sleep(0.15)
        assert starts.log == ["a begins", "b begins"]
        starts.ends["a"].set()
        starts.ends["b"].set()
        await asyncio.gather(hanging, following)
        third, fourth = starts.begin("c"), starts.begin("d")
        await settle()
        assert starts.log[4:] == ["c begins"], "its turn was given on once, not twice"
        third.cancel()
        fourth.cancel()

    run(story)


def test_a_place_in_line_is_told_when_it_has_halved() -> None:
    told: list[int] = []
    moved = turns.halving(told.append)
    for place in range(29, 0, -1):
        moved(place)
    assert told == [29, 14, 7, 3, 1]


def test_the_number_at_once_follows_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, expected in ((1, 2), (2, 2), (16, 16)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, n=processors: range(n))
        assert turns.by_processors() == expected
