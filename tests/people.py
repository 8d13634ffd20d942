"""A person at a browser, without the browser: cookies, forms with hidden fields, redirects."""

from __future__ import annotations

import html
import json
import re
import time
import uuid
from html.parser import HTMLParser
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
import websocket

_KEPT_S = 2
"""So long an idle connection is used again: the proxy drops it after five, and one that ends under
a request looks like a fault of the platform's."""


class _Forms(HTMLParser):
    """Forms of a page: action, method and the values that a browser would send unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a form, or note an input's name and value."""
        given = {key: value or "" for key, value in attrs}
        if tag == "form":
            self.forms.append({"action": given.get("action", ""), "fields": {}})
        elif tag == "input" and self.forms and given.get("name"):
            kind = given.get("type", "text")
            if kind not in ("checkbox", "radio", "submit") or "checked" in given:
                self.forms[-1]["fields"][given["name"]] = given.get("value", "")


def words(page: httpx.Response, most: int = 3000) -> str:
    """What a person reads on a page, without tags, styles and scripts."""
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", page.text)
    return html.unescape(re.sub(r"\s+", " ", text)).strip()[:most]


class Person:
    """Somebody's browser session. `http` is the client underneath; redirects are followed."""

    def __init__(self, url: str, language: str = "en") -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=url,
            follow_redirects=True,
            trust_env=False,
            timeout=90,
            limits=httpx.Limits(keepalive_expiry=_KEPT_S),
            headers={"Accept-Language": language, "Accept": "text/html,*/*"},
        )

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.http.close()

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Open a page; once more when its connection broke, as a browser does."""
        try:
            return self.http.get(path, **more)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return self.http.get(path, **more)

    def sign_in(self, name: str, password: str) -> httpx.Response:
        """Fill in the Hub's sign-in form. Raises AssertionError when it is shown again."""
        page = self.submit("/hub/login", {"username": name, "password": password}, "login")
        assert "/hub/login" not in str(page.url), f"{name} could not sign in: {words(page)}"
        return page

    def submit(
        self, path: str, fields: dict[str, Any], action: str = "", files: Any = None
    ) -> httpx.Response:
        """Open a page and send its form whose action holds `action`, with `fields` filled in.

        Hidden fields go along as a browser would send them.
        """
        page = self.get(path)
        forms = _Forms()
        forms.feed(page.text)
        found = [form for form in forms.forms if action in form["action"]]
        assert found, f"{page.url} ({page.status_code}) has no form {action!r}: {words(page)}"
        target = str(page.url.join(found[0]["action"])) if found[0]["action"] else str(page.url)
        return self.http.post(
            target,
            data=found[0]["fields"] | fields,
            files=files,
            headers={"Origin": self.url, "Referer": str(page.url)},
        )

    def start_lab(
        self, course: str, lab: str, cohort: str = "demo", gpu: bool = True
    ) -> httpx.Response:
        """Press a lab's Start button on the person's home; the page that follows.

        Raises AssertionError with what the page says when the lab is not on its way.
        """
        order = {"course": course, "lab": lab, "cohort": cohort, "gpu": "yes" if gpu else "no"}
        page = self.submit("/services/usage/", order, "/start")
        assert page.status_code == 200, f"{page.url} ({page.status_code}): {words(page)}"
        return page

    def stop_lab(self) -> httpx.Response:
        """Press Stop on the person's home; the page that follows."""
        return self.submit("/services/usage/", {}, "/stop")

    def xsrf(self, path: str = "/hub/") -> str:
        """The ``_xsrf`` cookie for `path`, which Hub and JupyterLab want in ``X-XSRFToken``."""
        found = [c for c in self.http.cookies.jar if c.name == "_xsrf" and c.path == path]
        assert found, f"no _xsrf cookie for {path}: {self.http.cookies.jar}"
        return found[0].value or ""

    def lab(self, name: str, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        """Call this person's own lab (``/user/<name>/<path>``) as its page would."""
        base = f"/user/{name}/"
        if not any(c.name == "_xsrf" and c.path == base for c in self.http.cookies.jar):
            self.get(base + "lab").raise_for_status()
        headers = {"X-XSRFToken": self.xsrf(base), "Origin": self.url, "Referer": self.url + base}
        return self.http.request(method, base + path, headers=headers, **more)

    def lab_ready(self, name: str, seconds: float = 180) -> None:
        """Return when this person's lab shows its page. AssertionError: what is shown instead."""
        deadline = time.monotonic() + seconds
        while True:
            page = self.get(f"/user/{name}/lab")
            if page.status_code == 200 and page.url.path.startswith(f"/user/{name}/"):
                return
            # 5xx: the start failed, and the page says why. (503 also: not routed yet.)
            failed = page.status_code >= 500 and page.url.path.startswith("/hub/spawn-pending/")
            if failed or time.monotonic() > deadline:
                raise AssertionError(f"no lab ({page.status_code} {page.url}): {words(page)}")
            time.sleep(0.2)

    def run_cell(self, name: str, code: str, seconds: float = 120) -> str:
        """Run `code` in a fresh kernel of this person's lab; what it printed, errors too."""
        kernel = self.lab(name, "api/kernels", "POST", json={"name": "python3"})
        kernel.raise_for_status()
        path = f"/user/{name}/api/kernels/{kernel.json()['id']}"
        try:
            return self._execute(f"{self.url}{path}/channels", code, seconds)
        finally:
            self.lab(name, path.removeprefix(f"/user/{name}/"), "DELETE")

    def _execute(self, url: str, code: str, seconds: float) -> str:
        cookies = "; ".join(
            f"{c.name}={c.value}"
            for c in self.http.cookies.jar
            if urlsplit(url).path.startswith(c.path)
        )
        socket = websocket.create_connection(
            url.replace("http", "ws", 1), timeout=seconds, cookie=cookies, origin=self.url
        )
        message = new_message("execute_request", {"code": code, "silent": False})
        output: list[str] = []
        try:
            socket.send(json.dumps(message))
            while not _finished(json.loads(socket.recv()), message["header"]["msg_id"], output):
                pass
        finally:
            socket.close()
        return "".join(output)


def new_message(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """A message of the Jupyter protocol on the shell channel."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": kind,
        "username": "",
        "session": uuid.uuid4().hex,
        "version": "5.3",
    }
    return {
        "channel": "shell",
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
    }


def _finished(answer: dict[str, Any], asked: str, output: list[str]) -> bool:
    """Collect what a cell shows; True when it is done."""
    if answer.get("parent_header", {}).get("msg_id") != asked:
        return False
    content = answer["content"]
    kind = answer["msg_type"]
    if kind == "stream":
        output.append(content["text"])
    elif kind in ("execute_result", "display_data"):
        output.append(content["data"].get("text/plain", ""))
    elif kind == "error":
        output.append("\n".join(content["traceback"]))
    return bool(kind == "status" and content["execution_state"] == "idle")
