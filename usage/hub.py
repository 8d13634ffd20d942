"""The few calls to the Hub's API: which lab a person has, start one, stop one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from core import secrets
from core.settings import Settings
from web.auth import hub_api_url

_PAGE = 200
"""People per answer: the Hub's own most."""

_PAGED = "application/jupyterhub-pagination+json"


class HubDown(Exception):
    """The Hub did not answer, or not usably."""


@dataclass(frozen=True)
class Server:
    """A person's lab as the Hub knows it."""

    state: str
    """ready, starting or stopping."""
    options: dict[str, str]
    url: str
    started: datetime | None = None
    """By the Hub's clock; None when it does not say."""
    active: datetime | None = None
    """When the Hub last saw it used."""


class Hub:
    """The Hub's API with the usage service's token (scopes: see hub.access)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        token = secrets.load(settings.state_dir, "usage-hub-token")
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"token {token}"}, timeout=10, trust_env=False
        )

    async def close(self) -> None:
        """Close pooled connections."""
        await self._client.aclose()

    async def version(self) -> str:
        """The Hub's version. Raises HubDown."""
        return str((await self._call("GET", "/")).json().get("version"))

    async def server(self, username: str) -> Server | None:
        """The person's lab, None when there is none. Raises HubDown."""
        answer = await self._call("GET", f"/users/{quote(username, safe='')}")
        if answer.status_code == 404:
            return None
        model = (answer.json().get("servers") or {}).get("")
        return _server(model) if model else None

    async def all_servers(self) -> dict[str, Server]:
        """Everybody's lab by name, for those who have one. Raises HubDown."""
        found: dict[str, Server] = {}
        path: str | None = f"/users?state=active&limit={_PAGE}"
        while path:
            answer = (await self._call("GET", path, accept=_PAGED)).json()
            for user in answer["items"]:
                if model := (user.get("servers") or {}).get(""):
                    found[user["name"]] = _server(model)
            following = answer["_pagination"]["next"]
            path = (
                f"/users?state=active&limit={_PAGE}&offset={following['offset']}"
                if following
                else None
            )
        return found

    async def start(self, username: str, options: dict[str, str]) -> bool:
        """Ask for the person's lab; False when one runs or is starting. Raises HubDown."""
        path = f"/users/{quote(username, safe='')}/server"
        # JupyterHub >= 5 takes the options under this key.
        answer = await self._call("POST", path, {"user_options": options})
        return answer.status_code in (201, 202)

    async def stop(self, username: str) -> None:
        """Stop the person's lab; harmless when there is none. Raises HubDown."""
        await self._call("DELETE", f"/users/{quote(username, safe='')}/server")

    async def delete(self, username: str) -> None:
        """Delete the person's account and, by the spawner, their home volume; a lab is stopped
        first. Harmless when there is none. Raises HubDown, also while a lab is still stopping."""
        path = f"/users/{quote(username, safe='')}"
        answer = await self._call("DELETE", path)
        if answer.status_code not in (204, 404):
            raise HubDown(f"DELETE {path}: {answer.status_code}: {answer.text[:200]}")

    async def _call(
        self, method: str, path: str, body: Any = None, accept: str = "application/json"
    ) -> httpx.Response:
        url = hub_api_url(self._settings) + path
        headers = {"Accept": accept}
        try:
            answer = await self._client.request(method, url, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise HubDown(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.status_code in (401, 403) or answer.status_code >= 500:
            raise HubDown(
                f"{method} {path}: the Hub answered {answer.status_code}: {answer.text[:200]}"
            )
        return answer


def _server(model: dict[str, Any]) -> Server:
    if model.get("ready"):
        state = "ready"
    else:
        state = "stopping" if model.get("pending") == "stop" else "starting"
    options = {key: str(value) for key, value in (model.get("user_options") or {}).items()}
    started, active = (
        datetime.fromisoformat(model[key]) if model.get(key) else None
        for key in ("started", "last_activity")
    )
    return Server(state, options, str(model.get("url") or ""), started, active)
