"""The runner's socket at the level of bytes: what of a hostile Hub's requests reaches Docker.

An engine that writes down every request stands in for Docker, so that nothing which slips through
can do harm and everything that does is seen.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from labs.runner.relay import MOST_BODY, Relay
from tests.security.attacks import note
from tests.unit.labs.test_runner_rules import POLICY, REQUEST, honest

OURS = "f" * 64
"""Id of a container that the engine knows as a lab of this instance; every other is foreign."""
CREATE = "/v1.41/containers/create?name=t-lab-kim"
READS = {"GET", "HEAD"}


@dataclass
class Engine:
    """Docker's part: what it was asked, in order, as (method, path, headers, body)."""

    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.method, request.raw_path, dict(request.headers), body))
        if request.path.endswith("/create"):
            return web.json_response({"Id": OURS}, status=201)
        if request.path.endswith("/json") and "/containers/" in request.path:
            labels = {"dli.instance": "t", "dli.kind": "lab" if OURS in request.path else "other"}
            ident = OURS if OURS in request.path else "e" * 64
            return web.json_response({"Id": ident, "Config": {"Labels": labels}})
        return web.json_response({})

    def changes(self) -> list[str]:
        """Requests that do more than read."""
        return [f"{method} {path}" for method, path, *_ in self.asked if method not in READS]


@dataclass
class Runner:
    """A runner on a socket of its own, with the engine behind it."""

    path: Path
    engine: Engine

    def send(self, *parts: bytes, patience: float = 3) -> bytes:
        """What comes back for these bytes until the runner closes or falls silent.

        `patience`: seconds until the first byte; an attack may be one that is never answered.
        """
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(patience)
            end.connect(str(self.path))
            answer = b""
            try:
                for part in parts:
                    end.sendall(part)
                while chunk := end.recv(65536):
                    answer += chunk
                    end.settimeout(0.2)
            except (ConnectionError, TimeoutError):
                pass
            return answer

    def create(self, body: bytes, more: str = "") -> bytes:
        """A create with this body, as a client that closes after it."""
        head = f"POST {CREATE} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{more}"
        length = f"Content-Length: {len(body)}\r\n\r\n"
        return self.send((head + length).encode() + body, patience=60)

    def alive(self) -> None:
        """The control: an honest create still passes."""
        before = len(self.engine.asked)
        answer = self.create(json.dumps(honest()).encode())
        assert answer.startswith(b"HTTP/1.1 201"), answer
        assert len(self.engine.asked) == before + 1


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    engine, stop = Engine(), threading.Event()
    ready: Future[None] = Future()

    async def nobody(_lease: str) -> None:
        return None

    async def serve() -> None:
        made = Relay(POLICY, str(tmp_path / "docker"), nobody)
        servers = [
            (web.AppRunner(engine.application()), tmp_path / "docker"),
            (web.AppRunner(made.application(), access_log=None), tmp_path / "runner"),
        ]
        for server, place in servers:
            await server.setup()
            await web.UnixSite(server, place).start()
        ready.set_result(None)
        await asyncio.to_thread(stop.wait)
        for server, _place in servers[::-1]:
            await server.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        ready.result(30)
        yield Runner(tmp_path / "runner", engine)
    finally:
        stop.set()
        thread.join(60)


def _with(text: str, bad: str, last: bool) -> bytes:
    """An honest body in which one object also has the key `text` with the value `bad`."""
    body = json.dumps(honest())
    more = f'"{text}": {bad}'
    if last:
        return (body[:-1] + ", " + more + "}").encode()
    return ("{" + more + ", " + body[1:]).encode()


BAD = json.dumps(honest()["HostConfig"] | {"Privileged": True, "Binds": ["/:/host"]})
TWICE = {
    "a bad HostConfig before the good one": _with("HostConfig", BAD, last=False),
    "a bad HostConfig after the good one": _with("HostConfig", BAD, last=True),
    "in small letters": _with("hostconfig", BAD, last=True),
    "in capitals": _with("HOSTCONFIG", BAD, last=False),
    "with a long s, which Go folds": _with("Ho\u017ftConfig", BAD, last=True),
    "the same, written as an escape": _with("Ho\\u017ftConfig", BAD, last=True),
    "nothing, in small letters": _with("hostconfig", "null", last=True),
    "an image of another": _with("Image", '"debian"', last=True),
    "root as the user": _with("USER", '"0"', last=True),
    "volumes": _with("VOLUMES", '{"/host": {}}', last=True),
    "exposed by a byte order mark": b"\xef\xbb\xbf" + json.dumps(honest()).encode(),
    "in UTF-16": json.dumps(honest() | {"hostconfig": {"Privileged": True}}).encode("utf-16"),
}


@pytest.mark.parametrize("name", TWICE)
def test_docker_gets_the_body_that_was_checked(name: str, runner: Runner) -> None:
    """Either the create is refused, or Docker gets each name once and none that nobody checked."""
    answer = runner.create(TWICE[name])
    note(__name__, f"a body twice: {name}", "refused or cleaned", answer[9:12].decode())
    assert b" 403 " in answer[:20] or b" 201 " in answer[:20], answer[:200]
    for _method, _path, _headers, body in runner.engine.asked:
        names = _names(body)
        for key in ("hostconfig", "image", "user", "binds", "privileged", "volumes"):
            folded = [n for n in names if n.replace("\u017f", "s").casefold() == key]
            assert len(folded) <= 1, folded
        assert b"rivileged" not in body
        assert b"/host" not in body
    runner.alive()


def _names(body: bytes) -> list[str]:
    """Every name in a body, also those that stand there twice."""
    found: list[str] = []

    def note_them(pairs: list[tuple[str, Any]]) -> None:
        found.extend(name for name, _value in pairs)

    json.loads(body, object_pairs_hook=note_them)
    return found


SMUGGLED = b"POST /v1.41/containers/x/exec HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"


def _request(first: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([first, "Host: d", *headers, "", ""]).encode("latin-1") + body


CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
RAW = {
    "length and chunks": _request(
        f"POST {CREATE} HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + SMUGGLED,
    ),
    "two lengths": _request(
        f"POST {CREATE} HTTP/1.1", "Content-Length: 0", f"Content-Length: {len(SMUGGLED)}",
        body=SMUGGLED,
    ),
    "chunks in a strange spelling": _request(
        f"POST {CREATE} HTTP/1.1", "Transfer-Encoding: xchunked", "Content-Length: 0",
        body=SMUGGLED,
    ),
    "chunks by an old version": _request(
        f"POST {CREATE} HTTP/1.0", "Transfer-Encoding: chunked", body=CHUNKED
    ),
    "a second request as the body of a read": _request(
        "GET /v1.41/_ping HTTP/1.1", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED
    ),
    "the same for a start": _request(
        f"POST /v1.41/containers/{OURS}/start HTTP/1.1", f"Content-Length: {len(SMUGGLED)}",
        body=SMUGGLED,
    ),
    "the same in chunks": _request(
        f"POST /v1.41/containers/{OURS}/start HTTP/1.1", "Transfer-Encoding: chunked", body=CHUNKED
    ),
    "a start with another's settings": _request(
        f"POST /v1.41/containers/{OURS}/start HTTP/1.1", "Content-Length: 29",
        body=b'{"HostConfig": {"Binds": []}}',
    ),
    "two calls behind each other": _request("GET /v1.41/_ping HTTP/1.1") + SMUGGLED,
    "a line break in the path": _request("GET /v1.41/_ping%0d%0aX:%20y HTTP/1.1"),
    "a bare line break": b"GET /v1.41/_ping HTTP/1.1\nHost: d\n\n" + SMUGGLED,
    "an upgrade of a read": _request(
        "GET /v1.41/_ping HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp"
    ) + SMUGGLED,
    "an upgrade to HTTP/2": _request(
        "POST /v1.41/session HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"
    ),
    "an upgrade of a container's stream": _request(
        f"POST /v1.41/containers/{OURS}/attach?stream=1 HTTP/1.1", "Connection: Upgrade",
        "Upgrade: tcp",
    ),
    "HTTP/2 from the start": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a whole address": _request("GET http://docker/v1.41/containers/json HTTP/1.1"),
    "a whole address with a name": _request("POST http://u:p@docker/v1.41/build HTTP/1.1"),
    "CONNECT": _request("CONNECT docker:2375 HTTP/1.1"),
    "OPTIONS *": _request("OPTIONS * HTTP/1.1"),
    "a method of its own": _request(f"PURGE /v1.41/containers/{OURS} HTTP/1.1"),
    "a method in small letters": _request(f"delete /v1.41/containers/{OURS} HTTP/1.1"),
    "another method by a header": _request(
        f"GET /v1.41/containers/{OURS}/json HTTP/1.1", "X-HTTP-Method-Override: DELETE"
    ),
    "dots": _request("GET /v1.41/containers/../info HTTP/1.1"),
    "dots as escapes": _request("GET /v1.41/containers/%2e%2e/json HTTP/1.1"),
    "a slash as an escape": _request("POST /v1.41/containers/x%2fexec HTTP/1.1"),
    "an escape of an escape": _request("POST /v1.41/containers/x%252fexec/start HTTP/1.1"),
    "two slashes": _request("POST //v1.41//containers//create HTTP/1.1"),
    "a path in other letters": _request("POST /V1.41/Containers/create HTTP/1.1"),
    "another version": _request("POST /v99999.41/build HTTP/1.1"),
    "no version": _request("POST /build HTTP/1.1"),
    "a fragment": _request("GET /v1.41/_ping#/../info HTTP/1.1"),
    "a parameter of the path": _request("POST /v1.41/containers/x;a=b/exec HTTP/1.1"),
    "a container of others": _request(f"POST /v1.41/containers/{'e' * 64}/start HTTP/1.1"),
    "a container of others by its name": _request("DELETE /v1.41/containers/postgres HTTP/1.1"),
    "every container": _request("POST /v1.41/containers/prune HTTP/1.1"),
    "a name twice in the query": _request(
        f"POST {CREATE}&name=postgres HTTP/1.1", "Content-Length: 2", body=b"{}"
    ),
    "a signal twice": _request(
        f"POST /v1.41/containers/{OURS}/kill?signal=TERM&signal=HUP HTTP/1.1"
    ),
    "a platform": _request(
        f"POST {CREATE}&platform=x HTTP/1.1", "Content-Length: 2", body=b"{}"
    ),
    "a plugin": _request("POST /v1.41/plugins/pull?remote=x HTTP/1.1"),
    "a swarm": _request("POST /v1.41/swarm/init HTTP/1.1"),
    "a build": _request("POST /v1.41/build?t=dli/lab-cpu:latest HTTP/1.1"),
    "an image by another's name": _request(
        "POST /v1.41/images/debian/tag?repo=dli/lab-cpu HTTP/1.1"
    ),
    "an image from a file": _request("POST /v1.41/images/load HTTP/1.1"),
    "a network joined": _request("POST /v1.41/networks/t-labs/connect HTTP/1.1"),
    "a lab in another network": _request(
        "POST /v1.41/networks/bridge/connect HTTP/1.1", "Content-Length: 2", body=b"{}"
    ),
    "a lab by another name": _request(f"POST /v1.41/containers/{OURS}/rename?name=x HTTP/1.1"),
    "other limits for a lab": _request(f"POST /v1.41/containers/{OURS}/update HTTP/1.1"),
    "a file into a lab": _request(f"PUT /v1.41/containers/{OURS}/archive?path=/ HTTP/1.1"),
    "a file out of a lab": _request(f"GET /v1.41/containers/{OURS}/archive?path=/ HTTP/1.1"),
    "a program in a lab": _request(f"POST /v1.41/containers/{OURS}/exec HTTP/1.1"),
    "an image of a lab": _request(f"POST /v1.41/commit?container={OURS} HTTP/1.1"),
    "a checkpoint": _request(f"POST /v1.41/containers/{OURS}/start?checkpoint=x HTTP/1.1"),
}  # fmt: skip

FINE = {
    ("GET", "/v1.41/_ping"),
    ("POST", f"/v1.41/containers/{OURS}/start"),
    ("GET", f"/v1.41/containers/{OURS}/json"),
    ("GET", f"/v1.41/containers/{'e' * 64}/json"),
    ("GET", "/v1.41/containers/postgres/json"),
    ("GET", "/v1.41/containers/prune/json"),
}
"""What an attack above may make of its harmless half: calls that every lab needs, without body."""


@pytest.mark.parametrize("name", RAW)
def test_no_bytes_bring_another_call_to_docker(name: str, runner: Runner) -> None:
    answer = runner.send(RAW[name])
    first = answer.split(b"\r\n", 1)[0].decode("latin-1")
    note(__name__, f"raw: {name}", "no other call", f"{first} {runner.engine.changes()}")
    for method, path, headers, body in runner.engine.asked:
        assert (method, path) in FINE, (method, path)
        assert body == b""
        kept = {key.lower() for key in headers}
        assert not kept & {"upgrade", "x-http-method-override", "x-registry-auth"}, headers
    assert b"101 Switching" not in answer
    runner.engine.asked.clear()
    runner.alive()


def test_a_body_has_an_end(runner: Runner) -> None:
    huge = b'{"Image": "' + b"x" * (MOST_BODY + 1) + b'"}'
    assert b" 403 " in runner.create(huge)[:20]
    chunk = b"%x\r\n%s\r\n" % (MOST_BODY // 2, b" " * (MOST_BODY // 2))
    head = _request(f"POST {CREATE} HTTP/1.1", "Transfer-Encoding: chunked")
    assert b" 201 " not in runner.send(head, chunk, chunk, chunk, b"0\r\n\r\n")
    assert b" 201 " not in runner.create(b"[" * 200_000)
    assert b" 201 " not in runner.create(b'{"Memory": ' + b"9" * 100_000 + b"}")
    assert b" 201 " not in runner.send(_request("GET /" + "x" * 100_000 + " HTTP/1.1"))
    many = _request("GET /v1.41/_ping HTTP/1.1", *(f"X-{i}: {'y' * 200}" for i in range(2000)))
    runner.send(many)
    assert runner.engine.changes() == []
    runner.engine.asked.clear()
    runner.alive()


def test_no_header_of_the_hub_reaches_docker(runner: Runner) -> None:
    body: dict[str, Any] = honest()
    sent = ["X-Registry-Auth: e30=", "X-Meta: 1", "Cookie: a=b", "Expect: 100-continue",
            "Authorization: Bearer x", "User-Agent: hub"]  # fmt: skip
    runner.create(json.dumps(body).encode(), more="".join(f"{line}\r\n" for line in sent))
    ((_method, path, headers, passed),) = runner.engine.asked
    assert path == CREATE
    assert not {"X-Registry-Auth", "X-Meta", "Cookie", "Authorization"} & set(headers)
    assert json.loads(passed)["HostConfig"]["Mounts"] == body["HostConfig"]["Mounts"]


def test_a_lease_that_nobody_knows_gives_no_gpu(runner: Runner) -> None:
    body = honest()
    body["Labels"]["dli.lease"] = "lease-0123456789ab"
    body["HostConfig"]["DeviceRequests"] = [REQUEST]
    assert b" 403 " in runner.create(json.dumps(body).encode())[:20]
    assert runner.engine.asked == []
