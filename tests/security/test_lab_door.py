"""The real proxy with the door of labs: nothing of a lab reaches a browser but its owner's.

A small server that answers everybody stands for a lab whose learner has replaced its server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from cli import proxy
from core import secrets
from core.settings import Settings
from hub import door
from tests.platform import shared_node, wait_for
from tests.ports import free_ports
from tests.security.attacks import note

PAGE = "<script>a page that the learner wrote</script>"


class Anything(BaseHTTPRequestHandler):
    """Answers every request with the same page."""

    page = PAGE

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Hub(Anything):
    """Stands for the Hub, which gets what is no lab's address, and errors."""

    page = "the Hub"


@contextmanager
def serving(handler: type[Anything]) -> Iterator[int]:
    """A server on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Site:
    """A proxy with routes to the labs of kim and lee, both the same server."""

    def __init__(self, settings: Settings) -> None:
        self.port = settings.ports.public
        self.key = secrets.load(settings.state_dir, "lab-door")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)

    def raw(self, path: str, *headers: str) -> bytes:
        """The answer to a request that no client would send."""
        lines = [f"GET {path} HTTP/1.1", "Host: d", "Connection: close", *headers, "", ""]
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as end:
            end.sendall("\r\n".join(lines).encode())
            answer = b""
            while chunk := end.recv(65536):
                answer += chunk
            return answer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("door")
    with serving(Anything) as lab, serving(Hub) as hub:
        yield from _proxy(folder, lab, hub)


def _proxy(folder: Path, lab: int, hub: int) -> Iterator[Site]:
    secrets.ensure(folder)
    names = ("public", "proxy_api", "hub", "usage", "grader")
    settings = Settings(state_dir=folder, ports=dict(zip(names, free_ports(5), strict=True)))
    (folder / "node").symlink_to(shared_node(settings))
    (folder / "run").mkdir()
    (folder / "run" / "hub-api-url").write_text(f"http://127.0.0.1:{hub}/hub/api\n")
    ports = settings.ports
    given = {f"DLI_PORTS__{name.upper()}": str(getattr(ports, name)) for name in names}
    given |= {"DLI_STATE_DIR": str(folder), "DLI_SETTINGS": str(folder / "none.toml"),
              "DLI_SITE__HOST": "0.0.0.0"}  # fmt: skip
    log = (folder / "proxy.log").open("wb")
    words = [sys.executable, "-m", "cli.proxy"]
    running = subprocess.Popen(words, env=os.environ | given, stdout=log, stderr=log)
    try:
        found = Site(settings)
        api = httpx.Client(
            base_url=f"http://127.0.0.1:{ports.proxy_api}",
            headers={"Authorization": f"token {secrets.load(folder, 'proxy-auth')}"},
            trust_env=False,
        )

        def routed() -> bool:
            target = {"target": f"http://127.0.0.1:{lab}"}
            try:
                answers = [
                    api.post(f"/api/routes/user/{name}", json=target) for name in ("kim", "lee")
                ]
            except httpx.HTTPError:
                return False
            return all(answer.status_code == 201 for answer in answers)

        wait_for("the proxy", routed, 120)
        yield found
        found.http.close()
        api.close()
    except BaseException:
        print((folder / "proxy.log").read_text())
        raise
    finally:
        running.terminate()
        running.wait(60)
        log.close()


PATHS = [
    "/user/kim/static/x.html", "/user/kim/lab/extensions/x/x.html", "/user/kim/lab", "/user/kim",
    "/%75ser/kim/x", "/user/%6bim/x", "/user/%6B%69%6D/x", "/user%2fkim%2fx", "/user/kim%2fx",
    "/user/kim/../kim/x", "/hub/../user/kim/x", "/user/lee/../kim/x", "/user/lee/%2e%2e/kim/x",
    "//user/kim/x", "/user//kim/x", "/user/kim;x/x", "/user/kim?x", "/user/kim#x", "/./user/kim/x",
    "http://d/user/kim/x", "/user/kim/%00", "/user/KIM/x", "/user/kim/%zz",
]  # fmt: skip
"""Ways to write the address of kim's lab, or nearly."""


@pytest.mark.parametrize("path", PATHS)
def test_no_spelling_of_the_address_gets_past_the_door(path: str, site: Site) -> None:
    lee = door.cookie(site.key, "lee")
    for cookie in ("", f"dli-door={lee}", "dli-door=", f"dli-door={'0' * 64}",
                   "dli-door=undefined", f"x=dli-door={lee}"):  # fmt: skip
        answer = site.raw(path, f"Cookie: {cookie}", "Accept: text/html")
        assert PAGE.encode() not in answer, (path, cookie, answer[:300])
        seen = "refused" if answer[9:12] in (b"302", b"403") else "the Hub's page"
    note(__name__, f"somebody else's lab: {path}", "not shown", seen)


def test_the_owner_passes_and_another_is_sent_to_the_hub(site: Site) -> None:
    kim = {"Cookie": f"a=b; dli-door={door.cookie(site.key, 'kim')}"}
    assert site.http.get("/user/kim/x", headers=kim).text == PAGE
    assert site.http.post("/user/kim/x", headers=kim).text == PAGE
    assert site.http.get("/user/lee/x", headers=kim).status_code == 403
    page = site.http.get("/user/lee/x?a=1&b=2", headers=kim | {"Accept": "text/html"})
    assert page.status_code == 302
    assert page.headers["location"] == "/hub/door?next=%2Fuser%2Flee%2Fx%3Fa%3D1%26b%3D2"


def test_calls_with_a_token_pass_and_a_links_password_does_not(site: Site) -> None:
    for sign_in, passes in (("token x", True), ("Bearer x", True), ("Basic eDp5", False)):
        answer = site.http.get("/user/kim/x", headers={"Authorization": sign_in})
        assert (answer.status_code == 200) is passes, sign_in


def test_a_websocket_is_not_opened_for_others(site: Site) -> None:
    ask = ("Upgrade: websocket", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
    lines = ["GET /user/kim/api HTTP/1.1", "Host: d", "Connection: Upgrade", *ask, "", ""]
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as end:
        end.sendall("\r\n".join(lines).encode())
        assert end.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    ("target", "owner"),
    [
        ("/user/kim/lab", "kim"),
        ("/user/kim", "kim"),
        ("/user/kim?a=/user/lee/", "kim"),
        ("/user/k%40x/lab", "k@x"),
        ("/user/kim/lab/tree/a..b.ipynb", "kim"),
        ("//user/kim/", None),
        ("///evil.example/user/kim/", None),
        ("https://evil.example/user/kim/", None),
        ("/user/kim/../lee/", None),
        ("/user/kim/%2e%2e/lee/", None),
        ("/user/kim/.%2E/lee/", None),
        ("/user/kim\\..\\lee", None),
        ("/user/kim/\r\nSet-Cookie: a=b", None),
        ("/user/", None),
        ("/hub/home", None),
        ("", None),
    ],
)
def test_the_door_knows_whose_lab_a_path_leads_to(target: str, owner: str | None) -> None:
    assert door.owner_of(target) == owner


def test_labs_with_names_of_their_own_need_no_door() -> None:
    site = {"url": "https://dli.example", "subdomains": True, "host": "0.0.0.0"}
    words = proxy.arguments(Settings(site=site), "http://172.30.0.1:8081", Path("/chp"))
    assert "--host-routing" in words
    assert str(proxy.DOOR) not in words
    assert str(proxy.DOOR) in proxy.arguments(Settings(), "http://172.30.0.1:8081", Path("/chp"))
