"""A platform counts as up when people can sign in, not when each process alone answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli import health
from core import secrets
from core.settings import Settings


class Proxy(ThreadingHTTPServer):
    """Stands for the proxy: knows some paths, remembers by what name it was asked."""

    paths = ("/hub/health",)
    asked_as: str | None = None


class _Answer(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked_as = self.headers["Host"]
        self.send_response(200 if self.path in self.server.paths else 404)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_the_site_is_up_when_the_services_are_behind_its_address(proxy, tmp_path):
    settings = Settings(
        state_dir=tmp_path,
        site={"url": "http://labs.example.org", "subdomains": True},
        ports={"public": proxy.server_address[1]},
    )
    secrets.ensure(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "hub-api-url").write_text("http://127.0.0.1:1/hub/api")
    (site,) = [probe for probe in health.probes(settings) if probe.name == "site"]
    assert not health.answers(site), "the Hub has not given the proxy the services' routes"
    proxy.paths = ("/hub/health", "/services/usage/healthz")
    assert not health.answers(site)
    proxy.paths = (*proxy.paths, "/services/grader/healthz")
    assert health.answers(site)
    assert proxy.asked_as == "labs.example.org", "routes can be bound to a name"
