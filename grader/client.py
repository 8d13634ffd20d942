"""How `./dli` speaks to the grader service. Standard library, httpx and `core` only."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from core.wire import from_json


class GraderRefused(Exception):
    """The service said no; the text says why and what to do."""


class GraderUnavailable(Exception):
    """No usable answer: not running, or not our JSON."""


@dataclass(frozen=True)
class Progress:
    """How far a batch of jobs is."""

    batch: str
    total: int
    done: int
    parked: int
    reasons: list[str] = field(default_factory=list)
    finished: bool = False


@dataclass(frozen=True)
class Result:
    """One learner's last attempt. `state`: waiting, grading, failed, manual, graded, released."""

    username: str
    submission: str
    attempt: int
    late: bool
    state: str
    score: float | None
    max_score: float | None
    reason: str = ""
    flags: list[dict[str, str]] = field(default_factory=list)
    cohort: str = ""


class GraderClient:
    """The service's API for this machine. Every method raises GraderUnavailable, GraderRefused."""

    def __init__(self, url: str, key: str, timeout: float = 30.0, language: str = "en") -> None:
        """`url` such as ``http://127.0.0.1:8092/services/grader``; `key` is ``key-cli``; what the
        service says is in `language`."""
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/api/cli",
            headers={"Authorization": f"Bearer {key}", "Accept-Language": language},
            timeout=timeout,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self._client.close()

    def publish(self, course: str, assignment: str, by: str = "dli") -> str:
        """Start publishing; the batch to follow."""
        return self._act(course, assignment, "publish", by)

    def grade(
        self,
        course: str,
        assignment: str,
        by: str = "dli",
        again: bool = False,
        cohort: str | None = None,
    ) -> str:
        """Start grading each learner's last attempt; the batch to follow (empty: no jobs in it).

        `cohort` None: in every cohort, here and below.
        """
        return self._act(course, assignment, "grade", by, again, cohort)

    def release_feedback(
        self, course: str, assignment: str, by: str = "dli", cohort: str | None = None
    ) -> str:
        """Start rendering and releasing feedback; the batch to follow."""
        return self._act(course, assignment, "release-feedback", by, cohort=cohort)

    def progress(self, batch: str) -> Progress:
        """How far a batch is."""
        return from_json(Progress, self._call("GET", f"/batches/{quote(batch, safe='')}"))

    def wait(self, batch: str, seconds: float = 600) -> Progress:
        """Poll until a batch is finished. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while True:
            progress = self.progress(batch)
            if progress.finished:
                return progress
            if time.monotonic() > until:
                raise TimeoutError(f"batch {batch} is not finished after {seconds:.0f} s")
            time.sleep(0.3)

    def results(self, course: str, assignment: str, cohort: str | None = None) -> list[Result]:
        """Each learner's last attempt."""
        path = f"/courses/{quote(course, safe='')}/assignments/{quote(assignment, safe='')}"
        found = self._call("GET", f"{path}/results", params=_given(cohort=cohort))
        return [from_json(Result, item) for item in found]

    def export(
        self, course: str, cohort: str | None = None, kind: str = "nbgrader"
    ) -> dict[str, str]:
        """Scores as CSV by cohort; `kind` is nbgrader, canvas or moodle."""
        path = f"/courses/{quote(course, safe='')}/export"
        return dict(self._call("GET", path, params=_given(cohort=cohort, kind=kind))["csv"])

    def _act(
        self,
        course: str,
        assignment: str,
        action: str,
        by: str,
        again: bool = False,
        cohort: str | None = None,
    ) -> str:
        path = f"/courses/{quote(course, safe='')}/assignments/{quote(assignment, safe='')}"
        body = {"by": by, "again": again, "cohort": cohort}
        return str(self._call("POST", f"{path}/{action}", body)["batch"])

    def _call(
        self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None
    ) -> Any:
        try:
            response = self._client.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise GraderUnavailable(f"the grader service does not answer: {error}") from error
        try:
            data = response.json()
        except ValueError:
            raise GraderUnavailable(
                f"the grader service answered {response.status_code} without JSON"
            ) from None
        if response.is_success:
            return data
        message = data.get("message", "") if isinstance(data, dict) else ""
        if response.status_code in (404, 409, 422):
            raise GraderRefused(message or f"refused ({response.status_code})")
        raise GraderUnavailable(f"the grader service answered {response.status_code}: {message}")


def _given(**params: str | None) -> dict[str, str]:
    return {key: value for key, value in params.items() if value is not None}
