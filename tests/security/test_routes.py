"""Every route of both services against every role: refused unless a line here says otherwise.

The services' own code decides; only the Hub's answer to "whose token is this" is played. A route
that is added without a line here must refuse everybody but admins, or this fails. Sign-in lockout
is tested in tests/unit/hub, the browser side of sign-in in tests/hub/web.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import Response

from core import secrets
from core.settings import Settings
from core.wire import Enrolment
from grader import app as grader_app
from tests.security import coursework
from tests.security.attacks import note
from tests.unit.usage.server import COURSE, HubDouble
from usage import app as usage_app
from usage.client import CohortCourses, CohortSpec
from web import live, security

PEOPLE = {
    "trainee": ("a", "trainee"),
    "assistant": ("a", "assistant"),
    "instructor": ("a", "instructor"),
    "instructor-b": ("b", "instructor"),
    "trainee-b": ("b", "trainee"),
    "stranger": ("", ""),
    "admin": ("", ""),
}
EVERYBODY = {"anonymous", *PEOPLE}
KEYS = tuple(name for name in secrets.NAMES if name.startswith("key-"))
SIGNED_IN = set(PEOPLE)
STAFF_A = {"assistant", "instructor", "admin"}
FILLED = {
    "cohort": "a", "course": "intro", "assignment": "work", "submission": "sub-1",
    "notebook": "n", "action": "grade", "name": "x.css", "host": "h", "lease_id": "l", "code": "c",
    "warning_id": "w", "request_id": "1", "batch": "b", "job": "job-1", "certificate": "cert-1",
    "key": "k", "form": "csv", "kind": "people",
}  # fmt: skip
FORM = {"grant": "yes", "username": "trainee"}
"""Fields of posts that ask for the role only once they could be read."""

WORK = '[[assignments]]\nid = "work"\ntitle = {en = "W", ko = "W"}\n'
OPEN = {
    "/certificates/{certificate}",
    "/certificates/{certificate}/pdf",
    "/certificates/{certificate}/badge",
    "/badges/issuer",
    "/badges/keys",
    "/badges/keys/{key}",
    "/badges/revoked",
    "/badges/courses/{course}",
    "/healthz",
    "/static/{name:path}",
    "/language",
    "/oauth_callback",
    "/logout",
}


@dataclass
class Service:
    """One application with somebody's requests to it."""

    app: FastAPI
    client: TestClient
    name: str
    filled: dict[str, str] = field(default_factory=dict)
    """What stands in paths instead of FILLED's."""

    def routes(self) -> list[tuple[str, str]]:
        """(method, path) of each route, below included routers too."""
        found = set()
        for route in _flat(self.app.routes):
            found |= {(m, route.path) for m in (route.methods or ()) if m not in ("HEAD",)}
        return sorted(found, key=lambda item: (item[1], item[0]))

    def ask(self, method: str, path: str, who: str, **headers: str) -> httpx.Response:
        """As a browser of `who` ("lab:x": x's lab, "key-…": one of our processes)."""
        filled = FILLED | self.filled
        target = re.sub(r"\{(\w+)(?::path)?\}", lambda m: filled.get(m[1], "1"), path)
        if self.name == "grader" and "{course}" in path:
            target += f"?cohort={filled['cohort']}"
            headers = {"X-DLI-Cohort": filled["cohort"]} | headers
        self.client.cookies.clear()
        sent: dict[str, str] = {"Idempotency-Key": "key-12345678"}
        hub = self.app.state.sign_in
        if who.startswith("lab:"):
            sent["Authorization"] = f"token {who}"
        elif who.startswith("key-"):
            sent["Authorization"] = f"Bearer {self.app.state.keys[who]}"
        else:
            self.client.cookies.set(hub.csrf_cookie, "c")
            session = ""
            if who != "anonymous":
                session = "s"
                sealed = hub._seal({"token": f"page:{who}", "id": session})
                self.client.cookies.set(hub.session_cookie, sealed)
            token = security.csrf_token(hub.csrf_key, "c", session)
            sent |= {"X-CSRF-Token": token, "Sec-Fetch-Site": "same-origin", "Origin": hub.origin}
        sent |= headers
        form = None if method == "GET" or path.startswith("/api/") else FORM
        return self.client.request(method, target, headers=sent, data=form, follow_redirects=False)


def _flat(routes: Any) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "effective_candidates"):  # FastAPI keeps included routers whole
            yield from _flat(route.effective_candidates())
        elif getattr(route, "methods", None):
            yield route


async def _whose(token: str, _session: str = "") -> dict[str, Any] | None:
    kind, _sep, name = token.partition(":")
    if name not in PEOPLE:
        return None
    services = [f"access:services!service={s}" for s in ("usage", "grader")]
    scopes = services if kind == "page" else [f"access:servers!server={name}/"]
    return {"name": name, "kind": "user", "admin": name == "admin", "scopes": scopes}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("routes")
    secrets.ensure(folder)
    course = folder / "courses" / "intro"
    for lab in ("first", "plain"):
        (course / "labs" / lab).mkdir(parents=True)
        (course / "labs" / lab / "a.ipynb").write_text("{}")
    (course / "assignments" / "work").mkdir(parents=True)
    (course / "assignments" / "work" / "n.ipynb").write_text("{}")
    (course / "course.toml").write_text(COURSE + WORK, encoding="utf-8")
    return Settings(state_dir=folder, courses_dir=folder / "courses")


@pytest.fixture(scope="module", autouse=True)
def no_endless_answers() -> Iterator[None]:
    """Live parts of pages answer at once instead of for ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "stream", lambda _request, _part, _every_s=2.0: Response("live"))
        yield


@pytest.fixture(scope="module")
def usage(settings: Settings) -> Iterator[Service]:
    app = usage_app.create_app(settings, HubDouble())
    app.state.sign_in.model = _whose
    now = datetime.now(UTC)
    times = {"starts": now - timedelta(days=1), "ends": now + timedelta(days=1)}
    for cohort in ("a", "b"):
        dates = {key: value.isoformat() for key, value in times.items()}
        app.state.usage.put_cohort(CohortSpec(id=cohort, name=cohort, courses=["intro"], **dates))
    for name, (cohort, role) in PEOPLE.items():
        if cohort:
            app.state.usage.enrol(cohort, name, role)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(app, client, "usage")


@pytest.fixture(scope="module")
def grader(settings: Settings) -> Iterator[Service]:
    app = grader_app.create_app(settings)
    app.state.sign_in.model = _whose
    app.state.desk.access.places = lambda name: [
        Enrolment(cohort, role, ["intro"], True) for cohort, role in [PEOPLE[name]] if cohort
    ]
    app.state.desk.access.cohorts = lambda: [
        CohortCourses(cohort, cohort, ["intro"], True) for cohort in coursework.COHORTS
    ]
    coursework.fill(app.state.desk)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(app, client, "grader")


def refused(answer: httpx.Response) -> bool:
    """Turned away at the door (404: as if it did not exist; 303: to sign in)."""
    signing_in = answer.status_code == 303 and "/hub/api/oauth2/" in answer.headers["location"]
    return signing_in or answer.status_code in (401, 403, 404)


LABS = {"lab:trainee", "lab:instructor-b"}
USAGE = [
    (r"GET /api/internal/leases/{lease_id}", {"key-runner"}),
    (r"PUT /api/internal/hosts/.*|POST /api/internal/hosts/.*", {"key-agent"}),
    (r"POST /api/internal/leases/{lease_id}/release", {"key-hub", "key-agent", "key-worker"}),
    (r"POST /api/internal/leases(/{lease_id}/activate)?", {"key-hub", "key-worker"}),
    (r"POST /api/internal/codes/(check|sign-up)", {"key-hub"}),
    (
        r"GET /api/internal/(enrolments|cohorts(/{cohort}/members)?)",
        {"key-hub", "key-worker", "key-cli"},
    ),
    (r"PUT /api/internal/(enrolments|slots|cohorts/{cohort}|codes/{code})", {"key-cli"}),
    (r"\w+ /api/internal/cohorts/{cohort}/(entries|budget|charges|prestarts)", {"key-cli"}),
    (r"\w+ /api/me/(status|activity|requests|warnings/{warning_id}/seen)", LABS),
    (r"GET /(events|continue|my-data)?", SIGNED_IN),
    (r"POST /(queue/leave|start|continue|stop|requests|join|my-data)", SIGNED_IN),
    (r"GET /courses/{course}", {"trainee", "trainee-b", "assistant", "instructor", "instructor-b"}),
    (r"GET /cohorts/{cohort}/days", {"trainee", "assistant", "instructor"}),
    (r"\w+ /classes/{cohort}/(extend|requests/{request_id})", {"instructor", "admin"}),
    (r"\w+ /classes/{cohort}(/(events|stop|restart|prestart(/cancel)?|announcements.*))?", STAFF_A),
    (r"GET /admin/cohorts/{cohort}(/(people|report|report.{form}))?", STAFF_A),
    (r"POST /admin/cohorts/{cohort}/requests/{request_id}", {"instructor", "admin"}),
    (r"\w+ /admin(/.*)?", {"admin"}),
    (r"GET /metrics", {"admin"}),
]
"""Who may pass on the usage service: the first line that fits."""

GRADER = [
    (r"\w+ /api/cli/.*", {"key-cli"}),
    (r"GET /api/lab/assignments", LABS),
    (r"GET /api/lab/courses/.*/(release|submissions|room)|POST /api/lab/.*/submissions", LABS),
    # Staff of another cohort reach their own with it, whatever cohort they name.
    (r"POST /api/lab/.*/{action}|GET /api/lab/.*/collect", {"lab:instructor-b"}),
    (r"GET /api/lab/jobs/.*", set()),
    (r"\w+ /api/lab/.*", {"lab:trainee"}),
    (r"GET /", SIGNED_IN),
    (
        r"GET /submissions/{submission}(/archive|/receipt|/feedback/{notebook})?",
        {"trainee", *STAFF_A},
    ),
    (r"GET /api/internal/(completions|courses/{course}/progress)", {"key-usage"}),
    (r"\w+ /api/internal/people/{username}/(export|erase)", {"key-usage"}),
    (r"GET /audit", {"admin"}),
    (r"GET /parts/(due|work)|\w+ /receipts", SIGNED_IN),
    (
        r"\w+ /submissions/{submission}/"
        r"(grade|release|marking|extend|(ran|feedback-preview)/{notebook})",
        STAFF_A,
    ),
    (r"POST /certificates/{certificate}/revoke", STAFF_A),
    (r"GET /solutions/{course}/{assignment}(/.*)?", {"trainee", *STAFF_A}),
    (r"GET /courses/{course}(/(certificates|gradebook|export.csv|events))?", STAFF_A),
    (r"\w+ /courses/{course}/assignments/{assignment}/.*", STAFF_A),
]
"""The same of the grader service, for work of cohort a."""

B = {"cohort": "b", "submission": "sub-2", "job": "job-2", "certificate": "cert-2"}
OF_B = {"trainee": {"trainee-b"}, "assistant": set(), "instructor": {"instructor-b"},
        "lab:trainee": {"lab:instructor-b"}}  # fmt: skip
GRADER_B = [
    (pattern, who if who in (LABS, SIGNED_IN) else
     set().union(*(OF_B.get(one, {one}) for one in who)))
    for pattern, who in GRADER
    if "jobs" not in pattern
]  # fmt: skip
GRADER_B.insert(0, (r"GET /api/lab/jobs/.*", {"lab:instructor-b"}))
"""For work of cohort b, which takes the same course: its own staff, and nobody of cohort a."""


def allowed(lines: list[tuple[str, set[str]]], method: str, path: str) -> set[str]:
    """Who may pass. A route that no line names fails: whoever adds one says here for whom."""
    found = [who for pattern, who in lines if re.fullmatch(pattern, f"{method} {path}")]
    assert found, f"{method} {path} is not classified in tests/security/test_routes.py"
    return found[0]


MATRIX = {"usage": USAGE, "grader": GRADER, "grader_b": GRADER_B}
CALLERS = [*sorted(EVERYBODY), "lab:trainee", "lab:instructor-b", "lab:nobody", *KEYS]


@pytest.fixture
def grader_b(grader: Service) -> Service:
    """The same service, asked for cohort b's work."""
    return replace(grader, filled=B)


@pytest.mark.parametrize("which", list(MATRIX))
def test_nobody_passes_who_is_not_named(which: str, request: pytest.FixtureRequest) -> None:
    service: Service = request.getfixturevalue(which)
    lines = MATRIX[which]
    passed, cells = [], 0
    for method, path in service.routes():
        may = EVERYBODY if path in OPEN else allowed(lines, method, path)
        row = {who: service.ask(method, path, who) for who in CALLERS}
        cells += len(row)
        marks = " ".join(f"{who}={a.status_code}" for who, a in row.items())
        print(f"{method:<6} {path:<60} {marks}")
        if path in OPEN:
            continue
        passed += [
            (method, path, who, answer.status_code)
            for who, answer in row.items()
            if not refused(answer) and who not in may
        ]
        assert all(answer.status_code < 500 for answer in row.values()), (path, marks)
    routes = f"{cells} cells of {len(service.routes())} routes"
    note(__name__, f"{which}: {routes}", "only those named pass", f"{len(passed)} others passed")
    assert cells > 300
    assert passed == []


def test_a_token_opens_only_what_it_was_given_for(usage: Service, grader: Service) -> None:
    """A page's token is no lab's, and one that was not given for a service opens no page."""
    for service, path in ((usage, "/api/me/status"), (grader, "/api/lab/assignments")):
        headers = {"Authorization": "token page:trainee"}
        assert service.ask("GET", path, "anonymous", **headers).status_code == 401
        assert service.ask("GET", path, "lab:trainee").status_code == 200
        hub = service.app.state.sign_in
        for token, status in (("lab:trainee", 303), ("page:trainee", 200)):
            service.client.cookies.clear()
            sealed = hub._seal({"token": token, "id": "s"})
            service.client.cookies.set(hub.session_cookie, sealed)
            answer = service.client.get("/", follow_redirects=False)
            assert answer.status_code == status, (token, answer.status_code)
        service.client.cookies.clear()


def test_those_named_do_pass(usage: Service, grader: Service) -> None:
    """The matrix could be empty by refusing all; these show that it does not."""
    for who in STAFF_A:
        assert usage.ask("GET", "/admin/cohorts/{cohort}", who).status_code == 200
        assert grader.ask("GET", "/courses/{course}", who).status_code == 200
    assert usage.ask("GET", "/admin", "admin").status_code == 200
    assert usage.ask("GET", "/api/me/status", "lab:trainee").status_code == 200
    assert grader.ask("GET", "/submissions/{submission}/archive", "trainee").status_code == 200
    for key in ("key-hub", "key-worker", "key-cli"):
        answer = usage.ask("GET", "/api/internal/enrolments", key)
        assert not refused(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Authorization": "Basic eDp5", "X-CSRF-Token": ""},
    ],
    ids=["no token", "wrong token", "cross-site", "same-site", "foreign origin", "x:y@host"],
)
def test_forged_posts_are_refused(headers: dict[str, str], usage: Service, grader: Service) -> None:
    tried = 0
    for service in (usage, grader):
        for method, path in service.routes():
            if method in ("GET", "OPTIONS") or path.startswith("/api/"):
                continue
            answer = service.ask(method, path, "admin", **headers)
            assert answer.status_code == 403, (path, answer.status_code)
            tried += 1
    assert tried > 12


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example",
     "javascript:alert(1)", "/%0d%0aSet-Cookie:x=1", "///evil.example", "http:evil.example",
     "/\tevil", "@evil.example", "/services/usage/..//evil.example"],
)  # fmt: skip
def test_redirects_stay_here(target: str, usage: Service) -> None:
    hub = usage.app.state.sign_in
    token = security.csrf_token(hub.csrf_key, "c", "s")
    usage.ask("GET", "/", "trainee")  # sets the cookies of the client
    answer = usage.client.post(
        "/language",
        data={"language": "en", "next": target},
        headers={"X-CSRF-Token": token, "Sec-Fetch-Site": "same-origin"},
        follow_redirects=False,
    )
    assert answer.status_code == 303
    where = answer.headers["location"]
    found = httpx.URL(hub.origin).join(where)
    assert found.host == httpx.URL(hub.origin).host, where
    assert "set-cookie" not in where.lower().split("\n")[1:2]


def test_no_redirect_repeats_the_host_of_a_request(usage: Service, grader: Service) -> None:
    for service in (usage, grader):
        for path in ("", "/", "/courses/intro/", "/healthz/", "/admin/", "//evil.example/"):
            answer = service.client.get(
                f"/services/{service.name}{path}",
                headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
                follow_redirects=False,
            )
            where = answer.headers.get("location", "")
            assert where == "" or where.startswith("/"), (path, where)
            assert "evil" not in where, path
            assert "http://evil" not in answer.text, path
        typed = service.client.get(f"/services/{service.name}", follow_redirects=False)
        assert (typed.status_code, typed.headers["location"]) == (308, f"/services/{service.name}/")


def test_long_and_hostile_names(usage: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A megabyte or a line break where a name belongs: a plain refusal, and one log line."""
    key = {"Authorization": f"Bearer {usage.app.state.keys['key-hub']}"}
    for name in ("x" * 1_000_000, 'a\n{"event":"forged"}', "a\0b", "\u202eadmin"):
        consent = {"version": "1", "items": [], "language": "en"}
        body = {"code": "c", "username": name, "name": name, "consent": consent}
        answer = usage.client.post("/api/internal/codes/sign-up", json=body, headers=key)
        assert 400 <= answer.status_code < 500
        assert len(answer.content) < 20_000
    assert not [r for r in caplog.records if "\n" in r.getMessage()]
