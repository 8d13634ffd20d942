"""A real usage service on a free port, with the Hub's part played by a small double."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request

from core import secrets
from core.settings import Settings
from tests.ports import free_ports
from usage import app as usage_app
from usage.client import UsageClient
from usage.hub import Hub, Server
from web import csrf
from web.auth import Person, admin_only, lab_token, signed_in

COURSE = """
id = "intro"
hours = 2
image = "lab-cpu"
title = { en = "Introduction", ko = "입문" }
summary = { en = "A summary.", ko = "요약입니다." }
[[labs]]
id = "first"
minutes = { cpu = 40, gpu = 20 }
title = { en = "First lab", ko = "첫 실습" }
[[labs]]
id = "plain"
minutes = { cpu = 30, gpu = 30 }
gpu = { need = "none" }
title = { en = "Plain lab", ko = "기본 실습" }
"""


class HubDouble(Hub):
    """Remembers what it was asked; `servers` says who has a lab."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.started: list[tuple[str, dict[str, str]]] = []
        self.stopped: list[str] = []
        self.deleted: list[str] = []
        self.stops_at_once = False

    async def close(self) -> None:
        pass

    async def version(self) -> str:
        return "double"

    async def server(self, username: str) -> Server | None:
        return self.servers.get(username)

    async def all_servers(self) -> dict[str, Server]:
        return dict(self.servers)

    async def start(self, username: str, options: dict[str, str]) -> bool:
        self.started.append((username, options))
        return True

    async def stop(self, username: str) -> None:
        self.stopped.append(username)
        if self.stops_at_once:
            self.servers.pop(username, None)

    async def delete(self, username: str) -> None:
        self.deleted.append(username)


@dataclass
class Running:
    """The service while it runs. `person` is whoever pages take the browser for."""

    settings: Settings
    url: str
    folder: Path
    hub: HubDouble
    person: dict[str, object] = field(default_factory=lambda: {"name": "ann", "admin": False})
    app: FastAPI = field(init=False)
    _end: Callable[[], None] = field(init=False)

    def begin(self) -> None:
        """Start the service; again after `end` is a restart, at the same address."""
        self.app = usage_app.create_app(self.settings, self.hub)
        _play_hub(self)
        port = int(self.url.split(":")[2].split("/")[0])
        server = uvicorn.Server(
            uvicorn.Config(self.app, port=port, log_config=None, access_log=False)
        )
        self.app.state.closing = lambda: server.should_exit
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 120
        while not server.started:
            assert thread.is_alive(), "the service ended at its start"
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.02)

        def end() -> None:
            server.should_exit = True
            thread.join(60)

        self._end = end

    def end(self) -> None:
        """Stop the service."""
        self._end()

    def client(self, key: str) -> UsageClient:
        return UsageClient(self.url, secrets.load(self.folder, key), timeout=60)

    def page(self, path: str = "/", language: str = "en") -> httpx.Response:
        return httpx.get(self.url + path, headers={"Accept-Language": language})

    def send(self, path: str, language: str = "en", **form: object) -> httpx.Response:
        return httpx.post(self.url + path, data=form, headers={"Accept-Language": language})

    def sign_in(self, name: str, admin: bool = False) -> None:
        self.person.update(name=name, admin=admin)


@contextmanager
def serving(folder: Path, database: str = "", **usage: object) -> Iterator[Running]:
    """Run the service; its settings' [usage] may be changed by keyword."""
    secrets.ensure(folder)
    course = folder / "courses" / "intro"
    for lab in ("first", "plain"):
        (course / "labs" / lab).mkdir(parents=True)
        (course / "labs" / lab / "a.ipynb").write_text("{}")
    (course / "course.toml").write_text(COURSE, encoding="utf-8")
    settings = Settings(
        state_dir=folder, courses_dir=folder / "courses", usage={"database": database, **usage}
    )
    hub = HubDouble()
    (port,) = free_ports(1)
    running = Running(settings, f"http://127.0.0.1:{port}/services/usage", folder, hub)
    running.begin()
    try:
        yield running
    finally:
        running.end()


def _play_hub(running: Running) -> None:
    def person(request: Request) -> Person:
        request.state.person = Person(str(running.person["name"]), bool(running.person["admin"]))
        return request.state.person

    def admin(request: Request) -> Person:
        if not person(request).admin:
            raise HTTPException(403)
        return person(request)

    running.app.dependency_overrides[signed_in] = person
    running.app.dependency_overrides[lab_token] = person
    running.app.dependency_overrides[admin_only] = admin
    running.app.dependency_overrides[csrf.guard] = lambda: None
