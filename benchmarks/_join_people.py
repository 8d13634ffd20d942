"""People of benchmarks/join.py: browsers without a window, each with cookies, forms and events."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from benchmarks._join_site import COURSE
from tests.people import _Forms

HOME = "/services/usage/"
_PATIENCE_S = 30
"""Whoever is not through so long after the end counts as an error."""
LAB = "01-training-by-hand"
_ASSET = re.compile(r'(?:href|src)="(/services/usage/static/[^"]+)"')


@dataclass
class Told:
    """What the people of one run met. Times in seconds."""

    pages: list[tuple[str, float]] = field(default_factory=list)
    """What was asked for, and how long until it stood there, redirects and all."""
    errors: list[str] = field(default_factory=list)
    asked: dict[str, float] = field(default_factory=dict)
    """Who asked for a lab with a GPU, when."""
    started: dict[str, float] = field(default_factory=dict)
    """Who got it, when."""


@dataclass
class Visitor:
    """One person on their way from the invitation to the lab."""

    url: str
    name: str
    code: str
    told: Told
    until: float
    """By the monotonic clock: then everybody goes home."""
    hold_s: float
    """For so long a lab is used."""
    doing: str = "coming"
    consent: str = ""

    async def come(self, after: float) -> None:
        """Join `after` seconds from now, ask for a lab, wait, use it, go."""
        await asyncio.sleep(after)
        limits = httpx.Limits(max_connections=6)
        async with httpx.AsyncClient(
            base_url=self.url,
            follow_redirects=True,
            timeout=60,
            limits=limits,
            trust_env=False,
            headers={"Accept": "text/html", "Accept-Language": "ko"},
        ) as self.http:
            try:
                async with asyncio.timeout_at(self._loop_time(self.until + _PATIENCE_S)):
                    await self._start(await self._join())
            except (httpx.HTTPError, TimeoutError, AssertionError) as error:
                self.told.errors.append(
                    f"{self.name}: {self.doing}: {type(error).__name__}: {error}"
                )

    @staticmethod
    def _loop_time(moment: float) -> float:
        return asyncio.get_running_loop().time() + moment - time.monotonic()

    async def _join(self) -> httpx.Response:
        await self._page("sign-up form", "GET", f"/hub/signup?code={self.code}")
        form = {
            "_xsrf": self.http.cookies.get("_xsrf", path="/hub/") or "",
            "code": self.code,
            "username": self.name,
            "name": "김민지",
            "email": f"{self.name}@example.com",
            "password": "correct horse battery",
            "password_again": "correct horse battery",
            "consent": ["course"],
            "consent_version": self.consent,
        }
        await asyncio.sleep(1)  # a fast typist
        page = await self._page("join", "POST", "/hub/signup", form)
        assert page.url.path.startswith(HOME), f"landed on {page.url}: {page.text[:300]}"
        await asyncio.gather(*(self.http.get(asset) for asset in set(_ASSET.findall(page.text))))
        for part in ("due", "work"):
            await self._page("coursework", "GET", f"/services/grader/parts/{part}?course={COURSE}")
        return page

    async def _start(self, page: httpx.Response) -> None:
        """Ask for the lab; whoever has to wait keeps the home open until it is their turn."""
        self.told.asked[self.name] = time.monotonic()
        while True:
            form = self._form(page, LAB) | {"gpu": "yes"}
            page = await self._page("start", "POST", f"{HOME}start", form)
            if "/spawn-pending/" in page.url.path or page.url.path.startswith("/user/"):
                break
            if not await self._my_turn():
                return
            page = await self._page("home", "GET", HOME)
        await self._ready()
        self.told.started[self.name] = time.monotonic()
        await asyncio.sleep(min(self.hold_s, max(0, self.until - time.monotonic())))
        home = await self._page("home", "GET", HOME)
        await self._page("stop", "POST", f"{HOME}stop", self._form(home, ""))

    async def _my_turn(self) -> bool:
        """Follow the home's events until a GPU is offered; False when it is time to go home."""
        while (left := self.until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    async with self.http.stream("GET", f"{HOME}events", timeout=None) as events:
                        self._fine("events", events)
                        async for line in events.aiter_lines():
                            if 'value="yes"' in line:
                                return True
            except TimeoutError:
                break
        return False

    async def _ready(self) -> None:
        """Follow the start's progress as the pending page does."""
        self.doing = "waiting for the lab"
        path = f"/hub/api/users/{self.name}/server/progress"
        async with asyncio.timeout(120):
            async with self.http.stream("GET", path, headers={"Accept": "*/*"}) as events:
                self._fine("progress", events)
                async for line in events.aiter_lines():
                    assert '"failed": true' not in line, line
                    if '"ready": true' in line:
                        break
        page = await self.http.get(f"/user/{self.name}/lab")
        assert page.status_code == 200, f"lab: {page.status_code}"

    async def _page(
        self, what: str, method: str, path: str, form: Mapping[str, object] | None = None
    ) -> httpx.Response:
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"} if form else {}
        self.doing = what
        begun = time.monotonic()
        answer = await self.http.request(method, path, data=form, headers=headers)
        self.told.pages.append((what, time.monotonic() - begun))
        self._fine(what, answer)
        if match := re.search(r'name="consent_version" value="([^"]*)"', answer.text):
            self.consent = match[1]
        return answer

    def _fine(self, what: str, answer: httpx.Response) -> None:
        assert answer.status_code < 400, f"{what}: {answer.status_code} {answer.url}"

    def _form(self, page: httpx.Response, lab: str) -> dict[str, object]:
        """The values of the lab's form on a page (any form's token when no lab is named)."""
        forms = _Forms()
        forms.feed(page.text)
        for form in forms.forms:
            fields = dict(form["fields"])
            if (lab and fields.get("lab") == lab) or (not lab and "_csrf" in fields):
                return fields
        raise AssertionError(f"no form for {lab!r} on {page.url}")
