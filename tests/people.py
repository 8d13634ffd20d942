"""A person at a browser, without the browser: cookies, forms with hidden fields, redirects."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from types import TracebackType
from typing import Any

import httpx


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


class Person:
    """Somebody's browser session. `http` is the client underneath; redirects are followed."""

    def __init__(self, url: str, language: str = "en") -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=url,
            follow_redirects=True,
            trust_env=False,
            timeout=30,
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
        """Open a page; the proxy drops idle connections, so once more when one is gone."""
        try:
            return self.http.get(path, **more)
        except httpx.RemoteProtocolError:
            return self.http.get(path, **more)

    def sign_in(self, name: str, password: str) -> httpx.Response:
        """Fill in the Hub's sign-in form. Raises AssertionError when it is shown again."""
        page = self.submit("/hub/login", {"username": name, "password": password}, "login")
        assert "/hub/login" not in str(page.url), f"{name} could not sign in: {page.text[:2000]}"
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
        assert found, f"{page.url} ({page.status_code}) has no form {action!r}: {page.text[:3000]}"
        target = str(page.url.join(found[0]["action"])) if found[0]["action"] else str(page.url)
        return self.http.post(
            target,
            data=found[0]["fields"] | fields,
            files=files,
            headers={"Origin": self.url, "Referer": str(page.url)},
        )

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

    def lab_ready(self, name: str, seconds: float = 60) -> None:
        """Return when this person's lab answers. Raises AssertionError with the pending page."""
        deadline = time.monotonic() + seconds
        while True:
            page = self.get(f"/user/{name}/api/status")
            if page.status_code == 200 and "application/json" in page.headers["content-type"]:
                return
            assert time.monotonic() < deadline, f"no lab in {seconds} s: {page.text[:3000]}"
            time.sleep(0.2)
