"""The grader service's word on who fetched, submitted and scored, believed for a few seconds."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from urllib.parse import quote

import httpx

from core import log, secrets
from core.settings import Settings

_LOG = logging.getLogger("usage")
_BELIEVED_SECONDS = 3.0


class GraderDown(Exception):
    """The grader service did not answer, or not usably."""


@dataclass(frozen=True)
class Standing:
    """One person's work on one assignment."""

    fetched: datetime | None = None
    attempt: int = 0
    submission: str = ""
    """Id of the newest attempt."""
    received: datetime | None = None
    late: bool = False
    state: str = ""
    """waiting, grading, failed, manual, graded or released; empty before a submission."""
    score: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Progress:
    """A course's published assignments, in order, and everybody's standing in them."""

    assignments: list[str] = field(default_factory=list)
    people: dict[str, dict[str, Standing]] = field(default_factory=dict)

    def of(self, username: str, assignment: str) -> Standing:
        """One person's standing; nothing done yet when nothing is known."""
        return self.people.get(username, {}).get(assignment, Standing())


class Coursework:
    """Asks the grader service (key-usage)."""

    def __init__(self, settings: Settings) -> None:
        """Raises FileNotFoundError when secrets were not made."""
        self._url = f"http://127.0.0.1:{settings.ports.grader}/services/grader/api/internal"
        key = secrets.load(settings.state_dir, "key-usage")
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"}, timeout=5, trust_env=False
        )
        self._known: dict[tuple[str, str], tuple[float, Progress]] = {}

    async def close(self) -> None:
        """Close pooled connections."""
        await self._client.aclose()

    async def progress(self, course: str, cohort: str) -> Progress | None:
        """Everybody's standing in a course; None when the grader service does not answer."""
        at, found = self._known.get((course, cohort), (0.0, None))
        if found is not None and time.monotonic() - at < _BELIEVED_SECONDS:
            return found
        try:
            answer = await self._client.get(
                f"{self._url}/courses/{quote(course, safe='')}/progress", params={"cohort": cohort}
            )
            answer.raise_for_status()
            found = _progress(answer.json())
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.event(_LOG, "progress not known", course=course, error=f"{error!r:.200}")
            return None
        self._known[(course, cohort)] = (time.monotonic(), found)
        return found

    async def completions(self) -> dict[str, int] | None:
        """Valid certificates by cohort; None when the grader service does not answer."""
        try:
            answer = await self._client.get(f"{self._url}/completions")
            answer.raise_for_status()
            return {str(cohort): int(count) for cohort, count in answer.json().items()}
        except (httpx.HTTPError, ValueError, AttributeError, TypeError) as error:
            log.event(_LOG, "completions not known", error=f"{error!r:.200}")
            return None

    async def export(self, username: str, out: IO[bytes]) -> None:
        """Write all coursework of one person, a ZIP, to `out`. Raises GraderDown."""
        url = f"{self._url}/people/{quote(username, safe='')}/export"
        try:
            async with self._client.stream("GET", url, timeout=120) as answer:
                answer.raise_for_status()
                async for part in answer.aiter_bytes():
                    out.write(part)
        except httpx.HTTPError as error:
            raise GraderDown(f"{type(error).__name__}: {error}") from error

    async def erase(self, username: str, pseudonym: str, actor: str) -> None:
        """Take a person out of coursework; again is harmless. Raises GraderDown."""
        url = f"{self._url}/people/{quote(username, safe='')}/erase"
        body = {"pseudonym": pseudonym, "actor": actor}
        try:
            (await self._client.post(url, json=body, timeout=120)).raise_for_status()
        except httpx.HTTPError as error:
            raise GraderDown(f"{type(error).__name__}: {error}") from error


def _progress(data: dict[str, Any]) -> Progress:
    people = {
        name: {item: _standing(one) for item, one in work.items()}
        for name, work in data["people"].items()
    }
    return Progress(list(data["assignments"]), people)


def _standing(data: dict[str, Any]) -> Standing:
    return Standing(
        fetched=_time(data.get("fetched")),
        attempt=int(data.get("attempt", 0)),
        submission=str(data.get("submission", "")),
        received=_time(data.get("received")),
        late=bool(data.get("late")),
        state=str(data.get("state", "")),
        score=data.get("score"),
        most=data.get("most"),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
