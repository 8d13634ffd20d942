"""One learner of the start benchmark: POST, wait until ready, a kernel, one cell."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp

START_S = 900


@dataclass(frozen=True)
class Start:
    """Seconds from POST to the Hub's "ready", and to the answer of the first cell."""

    ready: float
    cell: float


@dataclass(frozen=True)
class Learner:
    """Who starts what where. `url` is the public address; `token` the learner's own."""

    url: str
    name: str
    token: str
    options: dict[str, str]

    async def start(self, http: aiohttp.ClientSession) -> Start:
        """Start the lab and run a cell. Raises RuntimeError when it does not start."""
        began = time.monotonic()
        await self.start_server(http)
        ready = time.monotonic() - began
        await self._cell(http)
        return Start(ready, time.monotonic() - began)

    async def start_server(self, http: aiohttp.ClientSession) -> None:
        """Ask for the lab; return when the Hub says that it is ready."""
        where = f"{self.url}/hub/api/users/{self.name}/server"
        async with http.post(where, json=self.options, headers=self._headers) as answer:
            if answer.status not in (201, 202):
                raise RuntimeError(f"{self.name}: {answer.status} {await answer.text()}")
            if answer.status == 201:
                return
        async with http.get(f"{where}/progress", headers=self._headers) as events:
            async for line in events.content:
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    if event.get("failed"):
                        raise RuntimeError(f"{self.name}: {event}")
                    if event.get("ready"):
                        return
        raise RuntimeError(f"{self.name}: the Hub said neither ready nor failed")

    async def _cell(self, http: aiohttp.ClientSession) -> None:
        base = f"{self.url}/user/{self.name}/api/kernels"
        async with http.post(base, json={"name": "python3"}, headers=self._headers) as answer:
            answer.raise_for_status()
            kernel = (await answer.json())["id"]
        message = _execute("print(6 * 7)")
        async with http.ws_connect(f"{base}/{kernel}/channels", headers=self._headers) as socket:
            await socket.send_json(message)
            async for frame in socket:
                found = json.loads(frame.data)
                mine = found["parent_header"].get("msg_id") == message["header"]["msg_id"]
                if mine and found["msg_type"] == "execute_reply":
                    if found["content"]["status"] != "ok":
                        raise RuntimeError(f"{self.name}: the cell failed: {found['content']}")
                    return
        raise RuntimeError(f"{self.name}: the kernel's connection closed before the answer")

    async def stop(self, http: aiohttp.ClientSession) -> None:
        """Stop the lab; return when it is gone."""
        where = f"{self.url}/hub/api/users/{self.name}"
        async with http.delete(f"{where}/server", headers=self._headers) as answer:
            if answer.status not in (202, 204, 400):
                raise RuntimeError(f"{self.name}: stop: {answer.status} {await answer.text()}")
        for _ in range(START_S * 5):
            async with http.get(where, headers=self._headers) as answer:
                if not (await answer.json()).get("servers"):
                    return
            await asyncio.sleep(0.2)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}


def session() -> aiohttp.ClientSession:
    """An HTTP client that waits long enough and keeps to this machine."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=START_S),
        connector=aiohttp.TCPConnector(limit=0),
        trust_env=False,
    )


def _execute(code: str) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": uuid.uuid4().hex,
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    return {
        "channel": "shell",
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
    }
