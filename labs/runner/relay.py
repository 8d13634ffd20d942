"""The runner's server: each call is read, checked and only then put to Docker."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, UnixConnector, web

from core.log import event
from core.wire import Lease
from labs.runner import rules
from labs.runner.calls import Call, Kind, read
from labs.runner.rules import Forbidden, Policy

_log = logging.getLogger("labs.runner")

MOST_BODY = 512 * 1024
_MOST_KNOWN = 10_000
_NO_BODY = (204, 304)

FindLease = Callable[[str], Awaitable[Lease | None]]
"""The lease of that id as the usage service knows it; None when there is none, or no answer."""


class Relay:
    """One instance's labs on one engine. `engine` is the path of Docker's real socket.

    `home_options`: makes a home that ends and gives its volume's options; None: plain volumes.
    `forget_home`: removes what it made, when the volume of somebody who was erased is gone.
    """

    def __init__(
        self,
        policy: Policy,
        engine: str,
        find_lease: FindLease,
        home_options: Callable[[str], dict[str, str]] | None = None,
        forget_home: Callable[[str], None] | None = None,
    ) -> None:
        self._policy = policy
        self._engine = engine
        self._find_lease = find_lease
        self._home_options = home_options
        self._forget_home = forget_home
        self._docker: ClientSession | None = None
        self._known: OrderedDict[str, None] = OrderedDict()
        """Ids of containers that are ours: an id never changes its container."""

    def application(self) -> web.Application:
        """To be served on the Hub's socket."""
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, _app: web.Application) -> Any:
        connector = UnixConnector(self._engine, limit=0)
        # The caller has its own patience; stopping a lab on a busy machine takes minutes.
        timeout = ClientTimeout(total=None, sock_connect=10)
        async with ClientSession("http://docker", connector=connector, timeout=timeout) as session:
            self._docker = session
            yield

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            call = read(request.method, request.path, _single(request))
            return await _ANSWERS[call.kind](self, call, request)
        except Forbidden as refusal:
            event(_log, "refused", call=f"{request.method} {request.path}"[:200], why=str(refusal))
            return web.json_response({"message": f"runner: {refusal}"}, status=403)
        except (ClientError, OSError) as error:
            event(_log, "docker does not answer", error=str(error))
            return _hang_up(request)

    # -- one per kind of call

    async def _free(self, call: Call, request: web.Request) -> web.StreamResponse:
        return await self._pass(call.method, call.target(), request)

    async def _image(self, call: Call, request: web.Request) -> web.StreamResponse:
        if call.name not in self._policy.images:
            raise Forbidden(f"image {call.name!r} is not one of the labs'")
        return await self._pass(call.method, call.target(), request)

    async def _network(self, call: Call, request: web.Request) -> web.StreamResponse:
        if call.name != self._policy.network:
            raise Forbidden(f"network {call.name!r} is not the labs'")
        return await self._pass(call.method, call.target(), request)

    async def _volume(self, call: Call, request: web.Request) -> web.StreamResponse:
        if not call.name.startswith(f"{self._policy.instance}-home-"):
            raise Forbidden(f"volume {call.name!r} is not a home of this instance")
        answer = await self._pass(call.method, call.target(), request)
        if call.method == "DELETE" and answer.status in (204, 404) and self._forget_home:
            suffix = call.name.removeprefix(f"{self._policy.instance}-")
            try:
                await asyncio.to_thread(self._forget_home, suffix)
            except OSError as error:
                return _failed("home not removed", suffix, error)
        return answer

    async def _create_volume(self, call: Call, request: web.Request) -> web.StreamResponse:
        body = rules.volume(await _json(request), self._policy)
        look = Call(Kind.VOLUME, "GET", call.version, body["Name"], ("volumes/", ""))
        async with self._ask("GET", look.target()) as answer:
            known = await answer.json() if answer.status == 200 else None
        plain = known is not None and not known.get("Options")
        if not plain and self._home_options is not None:
            suffix = body["Name"].removeprefix(f"{self._policy.instance}-")
            try:
                body["DriverOpts"] = await asyncio.to_thread(self._home_options, suffix)
            except OSError as error:
                return _failed("home not made", suffix, error)
        return await self._pass(call.method, call.target(), request, body)

    async def _create(self, call: Call, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        named = rules.lease_named(body)
        lease = await self._find_lease(named) if named else None
        if named and lease is None:
            raise Forbidden(f"Labels: the usage service knows no open lease {named!r}")
        checked = rules.container(body, call.query.get("name", ""), self._policy, lease)
        answer = await self._pass(call.method, call.target(), request, checked)
        if answer.status == 201 and isinstance(answer, web.Response) and answer.text:
            self._know(json.loads(answer.text)["Id"])
        return answer

    async def _lab(self, call: Call, request: web.Request) -> web.StreamResponse:
        if call.words[1] == "/json":
            return await self._inspect(call)
        ident = await self._ident(call)
        if ident is None:
            return web.json_response({"message": f"No such container: {call.name}"}, status=404)
        if call.method == "DELETE":
            self._known.pop(ident, None)
        return await self._pass(call.method, call.target(ident), request, streams=call.streams)

    async def _inspect(self, call: Call) -> web.Response:
        async with self._ask(call.method, call.target()) as answer:
            raw = await answer.read()
            if answer.status == 200:
                self._take(json.loads(raw))
            return _same(answer, raw)

    async def _ident(self, call: Call) -> str | None:
        """Id of the container named, which must be ours; None when there is none."""
        if call.name in self._known:
            self._known.move_to_end(call.name)
            return call.name
        look = Call(Kind.LAB, "GET", call.version, call.name, ("containers/", "/json"))
        async with self._ask("GET", look.target()) as answer:
            if answer.status == 404:
                return None
            return self._take(await answer.json())

    def _take(self, found: Any) -> str:
        if not self._policy.is_ours((found.get("Config") or {}).get("Labels")):
            raise Forbidden("that container is no lab of this instance")
        self._know(found["Id"])
        return str(found["Id"])

    def _know(self, ident: str) -> None:
        self._known[ident] = None
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    # -- to Docker and back

    def _ask(self, method: str, target: str, body: Any = None) -> Any:
        assert self._docker is not None
        return self._docker.request(method, target, json=body)

    async def _pass(
        self,
        method: str,
        target: str,
        request: web.Request,
        body: Any = None,
        streams: bool = False,
    ) -> web.StreamResponse:
        async with self._ask(method, target, body) as answer:
            if not streams:
                return _same(answer, await answer.read())
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


_ANSWERS: dict[Kind, Callable[[Relay, Call, web.Request], Awaitable[web.StreamResponse]]] = {
    Kind.FREE: Relay._free,
    Kind.IMAGE: Relay._image,
    Kind.NETWORK: Relay._network,
    Kind.CREATE_VOLUME: Relay._create_volume,
    Kind.VOLUME: Relay._volume,
    Kind.CREATE: Relay._create,
    Kind.LAB: Relay._lab,
}


def _single(request: web.Request) -> dict[str, str]:
    query = dict(request.query)
    if len(query) != len(request.query):
        raise Forbidden("query: each name may stand there once")
    return query


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError, web.HTTPRequestEntityTooLarge):
        raise Forbidden(f"body: only JSON of up to {MOST_BODY} bytes may stand there") from None


def _headers(answer: ClientResponse) -> dict[str, str]:
    kept = ("Content-Type", "Api-Version", "Docker-Experimental", "Ostype", "Server")
    return {name: answer.headers[name] for name in kept if name in answer.headers}


def _same(answer: ClientResponse, raw: bytes) -> web.Response:
    body = None if answer.status in _NO_BODY else raw
    return web.Response(status=answer.status, headers=_headers(answer), body=body)


def _failed(what: str, home: str, error: OSError) -> web.Response:
    event(_log, what, home=home, error=str(error))
    return web.json_response({"message": str(error)}, status=500)


def _hang_up(request: web.Request) -> NoReturn:
    """As Docker itself would when it is gone: the caller sees a broken connection."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("Docker does not answer")
