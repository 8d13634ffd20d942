"""A real grader service on a free port, with a course of nbgrader's own documentation notebooks.

Only the two neighbours are stood in for: the Hub's answer about a token, and enrolment.
"""

from __future__ import annotations

import secrets as random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import Request

from core import secrets
from core.settings import Settings
from core.wire import Enrolment
from grader.app import create_app
from grader.exchange.client import Client
from grader.runner import Sandbox
from grader.worker import Worker
from tests.grading_course import write_course
from tests.ports import free_ports
from usage.client import CohortCourses, CohortMember
from web import csrf
from web.auth import Person, signed_in

if TYPE_CHECKING:  # benchmarks use this file without the tests' packages
    import pytest

PEOPLE = {
    "ines": "instructor",
    **dict.fromkeys(["ada", "bob", "cleo", "dora", "emil"], "trainee"),
}


class FakeUsage:
    """Enrolment as the usage service answers it; a test may add `more` places of people."""

    def __init__(self) -> None:
        self.courses = ["c1"]
        self.open = True
        self.more: dict[str, list[Enrolment]] = {}

    def cohorts(self) -> list[CohortCourses]:
        names = {"autumn", *(place.cohort for places in self.more.values() for place in places)}
        return [CohortCourses(n, f"The {n}", self.courses, self.open) for n in sorted(names)]

    def members(self, cohort: str) -> list[CohortMember]:
        return [
            CohortMember(name, place.role, "", "")
            for name in sorted({*PEOPLE, *self.more})
            for place in self.enrolments(name)
            if place.cohort == cohort
        ]

    def enrolments(self, username: str) -> list[Enrolment]:
        role: Any = PEOPLE.get(username)
        own = [Enrolment("autumn", role, self.courses, self.open)] if role else []
        return own + self.more.get(username, [])


class Service:
    """The running service."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self.settings = settings
        self.usage = FakeUsage()
        self.url = f"http://127.0.0.1:{settings.ports.grader}/services/grader"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        app = create_app(self.settings)
        app.state.sign_in.model = _model
        app.state.desk.access._usage = self.usage
        app.state.closing = lambda: bool(self._server and self._server.should_exit)
        self.app = app
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.settings.ports.grader, log_config=None
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + 120
        while not self._server.started:
            assert self._thread.is_alive(), "the service ended at its start"
            assert time.monotonic() < until, "the service did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        assert self._server
        assert self._thread
        self._server.should_exit = True
        self._thread.join(60)

    def client(self, name: str, language: str = "en") -> Client:
        delays = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
        return Client(self.url, f"lab-{name}", language, delays)

    @contextmanager
    def believing_a_header(self) -> Iterator[None]:
        """Signed in is whom the header ``x-person`` names, and posts need no token."""
        self.app.dependency_overrides |= {signed_in: _named, csrf.guard: _no_guard}
        try:
            yield
        finally:
            self.app.dependency_overrides.clear()

    def ask_again(self) -> None:
        """Believe no place in a cohort any longer: `usage` has other ones now."""
        access = self.app.state.desk.access
        access._known.clear()
        access._cohorts = None

    def worker(self, sandbox: Sandbox) -> Worker:
        return Worker(self.settings, self.app.state.desk.database, sandbox)


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """The worker beside, until the block ends and its job at hand is finished."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def lab_home(service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of this process from now on: a lab's home, in a lab's environment."""
    home = folder / "home"
    home.mkdir()
    for name, value in {
        "HOME": str(home),
        "DLI_GRADER_URL": service.url,
        "DLI_COURSE": "c1",
        "DLI_LANG": "en",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)
    return home


async def _named(request: Request) -> Person:
    request.state.person = Person(request.headers["x-person"])
    return request.state.person


async def _no_guard() -> None:
    return None


async def _model(token: str, session_id: str = "") -> dict[str, Any] | None:
    """The Hub's answer for the token ``lab-<name>``."""
    name = token.removeprefix("lab-")
    if not token.startswith("lab-"):
        return None
    return {
        "kind": "user",
        "name": name,
        "admin": False,
        "scopes": [f"access:servers!server={name}/", "access:services!service=grader"],
    }


def make_settings(folder: Path, **grader: Any) -> Settings:
    """Settings, secrets and the course below `folder`."""
    write_course(folder / "courses" / "c1")
    settings = Settings(
        instance=f"t-{random.token_hex(4)}",
        state_dir=folder / "var",
        courses_dir=folder / "courses",
        ports=dict(zip(("grader", "usage"), free_ports(2), strict=True)),
        site={"language": "en"},
        grader={"max_submission_mb": 1, "max_files": 20, "wall_seconds": 60, **grader},
    )
    secrets.ensure(settings.state_dir)
    return settings


@contextmanager
def running(folder: Path, **grader: Any) -> Iterator[Service]:
    """A service for a `with` block."""
    service = Service(make_settings(folder, **grader))
    service.start()
    try:
        yield service
    finally:
        service.stop()
