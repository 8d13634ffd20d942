"""Live parts: sent at once, again only when they changed, and ended when they should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException

from web import live


def request(last: str = "", closing: Callable[[], bool] = lambda: False) -> Any:
    state = SimpleNamespace(closing=closing)
    headers = {"last-event-id": last} if last else {}
    return SimpleNamespace(headers=headers, app=SimpleNamespace(state=state))


def events(answers: list[Any], last: str = "") -> list[str]:
    """What is sent while `answers` are given one after the other; then the service closes."""
    left = list(answers)

    async def part() -> str:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    async def all_of() -> list[str]:
        response = live.stream(request(last, lambda: not left), part, every_s=0)
        assert response.media_type == "text/event-stream"
        return [str(chunk) async for chunk in response.body_iterator]

    return [chunk for chunk in asyncio.run(all_of()) if not chunk.startswith(":")]


def test_only_changes_are_sent() -> None:
    sent = events(["<p>a</p>", "<p>a</p>", "<p>b</p>\n<p>c</p>"])
    assert [text.split("\n", 1)[1] for text in sent] == [
        "data: <p>a</p>\n\n",
        "data: <p>b</p>\ndata: <p>c</p>\n\n",
    ]


def test_a_browser_that_has_it_already_is_not_sent_it_again() -> None:
    name = events(["same"])[0].split("\n")[0].removeprefix("id: ")
    assert events(["same", "same"], last=name) == []
    assert len(events(["other"], last=name)) == 1


def test_a_failed_look_is_tried_again() -> None:
    assert len(events([OSError("busy"), "text"])) == 1


def test_who_may_no_longer_look_is_cut_off() -> None:
    assert events([HTTPException(403), "never"]) == []


def test_silence_is_broken_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE_SECONDS", -1)
    left = ["a", "a"]

    async def part() -> str:
        return left.pop(0)

    async def all_of() -> list[str]:
        response = live.stream(request("", lambda: not left), part, every_s=0)
        return [str(chunk) async for chunk in response.body_iterator]

    assert asyncio.run(all_of())[-1].startswith(":")
