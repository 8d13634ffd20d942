"""nbgrader's own commands, assignment list and formgrader over our exchange, set up as in labs."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from dli_lab import coursework
from jupyter_core.application import NoStart
from nbgrader.apps.nbgraderapp import NbGraderApp

from core.settings import ROOT
from core.wire import Enrolment
from grader.exchange import archive
from grader.models import Score, Submission
from tests.agreeable import Agreeable
from tests.grading import Service, lab_home, working
from tests.grading_course import COURSE, source_notebook
from tests.ports import free_ports
from tests.unit.grader.test_marking import pages  # noqa: F401 (a fixture)

pytestmark = pytest.mark.parametrize("new_url", ["SQLite"], indirect=True)

CONFIG = ROOT / "images" / "lab-cpu" / "rootfs" / "opt" / "lab" / "etc" / "jupyter"
DATA = archive.build_from({"sums.ipynb": json.dumps(source_notebook()).encode()})
WAIT_S = 120


@pytest.fixture
def home(pages: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A lab's home, with the image's own nbgrader configuration."""
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(CONFIG))
    for kind in ("config", "data", "runtime"):
        monkeypatch.setenv(f"JUPYTER_{kind.upper()}_DIR", str(tmp_path / kind))
    return lab_home(pages, tmp_path, monkeypatch)


def nbgrader(person: str, *words: str, fails: bool = False) -> str:
    """What the command says, typed in the lab of `person`."""
    os.environ["JUPYTERHUB_API_TOKEN"] = f"lab-{person}"
    said = StringIO()
    app = NbGraderApp.instance()
    code: Any = 0
    try:
        app.initialize(list(words))
        app.init_logging(logging.StreamHandler, [said], color=False, subapps=True)
        app.start()
    except NoStart:
        pass
    except SystemExit as end:
        code = end.code
    finally:
        app.reset()
        NbGraderApp.clear_instance()
    assert bool(code) == fails, said.getvalue()
    return said.getvalue()


@contextmanager
def grading(service: Service) -> Iterator[None]:
    """A worker beside, until the block ends and nothing waits."""
    worker = service.worker(Agreeable())
    try:
        with working(worker):
            yield
    finally:
        while worker.step():
            pass


def wait_until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def scored(service: Service, name: str) -> bool:
    with service.app.state.desk.database.read() as session:
        own = session.query(Score).join(Submission).filter(Submission.username == name)
        return own.first() is not None


def add_course(service: Service, course: str) -> None:
    """A copy of the assignment `sums` in another course."""
    folder = service.settings.courses_dir / course
    (folder / "assignments" / "sums").mkdir(parents=True)
    text = json.dumps(source_notebook())
    (folder / "assignments" / "sums" / "sums.ipynb").write_text(text)
    first, _second = COURSE.replace('id = "c1"', f'id = "{course}"').split(
        '\n[[assignments]]\nid = "ps1"'
    )
    (folder / "course.toml").write_text(first)


def submitted(home: Path) -> set[str]:
    """Whose work was collected."""
    folder = home / "submitted"
    return {p.name for p in folder.iterdir()} if folder.exists() else set()


def test_each_command_does_its_work(home: Path, pages: Service) -> None:  # noqa: F811
    assert nbgrader("ada", "list").endswith("c1 sums\n")
    nbgrader("ada", "fetch_assignment", "sums")
    for person in ("ada", "bob"):  # one folder will do for both
        assert "attempt 1, 10240 bytes" in nbgrader(person, "submit", "sums")
    assert "already downloaded" in nbgrader("ada", "list")
    assert "attempt 2" in nbgrader("ada", "submit", "c1/sums/"), "a path will do"
    assert nbgrader("ada", "list", "--cached").count("c1 ada sums") == 2
    assert "bob" not in nbgrader("ada", "list", "--inbound")
    inbound = nbgrader("ines", "list", "--inbound")
    assert (inbound.count("c1 ada sums"), inbound.count("c1 bob sums")) == (2, 1)
    assert "ada" not in nbgrader("ines", "list", "--inbound", "--student", "bob")
    nbgrader("ines", "collect", "sums", "--student", "bob")
    assert submitted(home) == {"bob"}
    nbgrader("ines", "collect", "sums")
    assert submitted(home) == {"ada", "bob"}
    with grading(pages):
        nbgrader("ines", "release_assignment", "sums")
    with grading(pages):  # all is graded now
        nbgrader("ines", "release_feedback", "sums", "--student", "bob")
    assert "fetched: 0" in nbgrader("ada", "fetch_feedback", "sums"), "bob's alone is out"
    assert "fetched: 1" in nbgrader("bob", "fetch_feedback", "sums")
    with grading(pages):
        nbgrader("ines", "release_feedback", "sums")
    assert "fetched: 1" in nbgrader("ada", "fetch_feedback", "sums")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ada submit sums --student bob", "--student is not possible"),
        ("ines list --remove", "cannot be removed"),
        ("ada release_assignment sums", "Only instructors"),
        ("ada collect sums", "Only instructors"),
        ("ines release_feedback sums --student dora", "no such submission"),
    ],
)
def test_what_is_refused(home: Path, words: str, said: str) -> None:
    assert home.exists()
    assert said in nbgrader(*words.split(), fails=True)


def test_collecting_what_came_in_time(home: Path, pages: Service) -> None:  # noqa: F811
    """`--before-duedate`: the last attempt that is not late, and a late one where all are."""
    nbgrader("cleo", "fetch_assignment", "sums")
    stamps = []
    for _ in range(2):
        nbgrader("cleo", "submit", "sums")
        stamps.append(pages.client("cleo").submissions("c1", "sums")[-1])
    nbgrader("emil", "submit", "sums")
    late = datetime.fromisoformat(stamps[1]["received_at"])
    with pages.app.state.desk.database.write() as session:
        for name in ("cleo", "emil"):  # as after a change of dates
            own = session.query(Submission).filter_by(username=name).order_by(Submission.attempt)
            for one in own:
                one.late = name == "emil" or one.received_at >= late
    collect = ("collect", "sums", "--before-duedate")
    nbgrader("ines", *collect)
    assert submitted(home) >= {"cleo", "emil"}
    stamp = home / "submitted" / "cleo" / "sums" / "timestamp.txt"
    assert stamp.read_text() == stamps[0]["timestamp"]
    nbgrader("ines", "collect", "sums", "--update")
    assert stamp.read_text() == stamps[1]["timestamp"]


def test_the_panel_waits_for_a_service_that_starts_anew(
    home: Path,
    pages: Service,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "lab-dora")
    assert coursework.fetch("en", "c1", "sums") == {"folder": "c1/sums"}
    overrides = pages.app.dependency_overrides
    pages.stop()
    got: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: got.append(coursework.submit("en", "c1", "sums")))
    thread.start()
    thread.join(2.6)  # longer than a list is waited for
    pages.start()
    pages.app.dependency_overrides |= overrides
    thread.join(WAIT_S)
    assert got[0]["receipt"]["attempt"] == 1, got
    assert home.exists()


@contextmanager
def jupyter(home: Path, person: str, language: str) -> Iterator[httpx.Client]:
    """A person's own Jupyter server, with what a lab adds to it, and formgrader switched on."""
    config = home.parent / "server"
    config.mkdir()
    shutil.copy(CONFIG / "nbgrader_config.py", config)
    on = {"dli_lab": True, "nbgrader.server_extensions.formgrader": True}
    served = {"ServerApp": {"jpserver_extensions": on}}
    (config / "jupyter_server_config.json").write_text(json.dumps(served))
    (port,) = free_ports(1)
    words = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    words += ["--IdentityProvider.token=t", "--ServerApp.disable_check_xsrf=True"]
    environment = os.environ | {
        "JUPYTER_CONFIG_PATH": str(config),
        "JUPYTERHUB_API_TOKEN": f"lab-{person}",
        "DLI_LANG": language,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "labextension")]),
    }
    log = home.parent / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *words],
            cwd=home, env=environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    http = httpx.Client(
        base_url=f"http://127.0.0.1:{port}/",
        headers={"Authorization": "token t"},
        timeout=WAIT_S,
        trust_env=False,
    )
    try:
        _wait_for(http, server)
        yield http
    except BaseException:
        print(log.read_text()[-6000:])
        raise
    finally:
        http.close()
        server.kill()
        server.wait()


def _wait_for(http: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < until, "the server does not answer"
        try:
            http.get("api").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)


def test_the_assignment_list_and_formgrader(home: Path, pages: Service) -> None:  # noqa: F811
    """Two courses under one sign-in, one of them added while everything runs."""
    add_course(pages, "b2")
    pages.usage.more["ines"] = [Enrolment("winter", "trainee", ["b2"], True)]
    pages.usage.more["iris"] = [Enrolment("winter", "instructor", ["b2"], True)]
    try:
        pages.ask_again()
        with grading(pages), jupyter(home, "ines", "ko") as http:
            wait_until(lambda: "b2" in pages.app.state.desk.courses)
            os.environ |= {"JUPYTERHUB_API_TOKEN": "lab-iris"}
            nbgrader("iris", "release_assignment", "sums", "--course", "b2")
            assignment_list(http, home)
            formgrader(http, home, pages)
    finally:
        pages.usage.more.clear()
        pages.ask_again()


def assignment_list(http: httpx.Client, home: Path) -> None:
    """Both courses; a refusal in the learner's words, where nbgrader has a traceback or nothing."""
    assert http.get("courses").json() == {"success": True, "value": ["c1", "b2"]}
    here = {"course_id": "b2", "assignment_id": "sums"}
    listed = http.post("assignments/fetch", json=here).json()
    assert [(a["course_id"], a["status"]) for a in listed["value"]] == [("b2", "fetched")]
    again = http.post("assignments/fetch", json=here).json()
    assert not again["success"]
    assert "이미" in again["value"]
    assert http.get("assignments?course_id=b2").json()["success"], "once is enough"
    done = http.post("assignments/submit", json=here).json()
    assert [a["status"] for a in done["value"]] == ["fetched", "submitted"]
    (home / "b2" / "sums" / "data.bin").write_bytes(bytes(1_100_000))
    refused = http.post("assignments/submit", json=here).json()
    assert not refused["success"]
    assert refused["value"].startswith("제출물이 1 MB보다 큽니다. 데이터와 모델 파일을")


def formgrader(http: httpx.Client, home: Path, service: Service) -> None:
    """An instructor's own course folder: released, collected, feedback given to one learner."""
    for name in ("dora", "emil"):
        service.client(name).submit("c1", "sums", DATA)
    source = home / "source" / "sums"
    source.mkdir(parents=True)
    (source / "sums.ipynb").write_text(json.dumps(source_notebook()))
    api = "formgrader/api"
    assert http.post(f"{api}/assignment/sums/assign").json()["success"]
    state = http.get(f"{api}/assignment/sums").json()
    assert (state["releaseable"], state["status"]) == (True, "released")
    for act in ("release", "collect"):
        done = http.post(f"{api}/assignment/sums/{act}").json()
        assert done["success"], done
    collected = {one["student"] for one in http.get(f"{api}/submissions/sums").json()}
    assert {"dora", "emil"} <= collected
    wait_until(lambda: scored(service, "dora") and scored(service, "emil"))
    done = http.post(f"{api}/assignment/sums/dora/release_feedback").json()
    assert done["success"], done
    seen = [service.client(name).submissions("c1", "sums")[-1] for name in ("dora", "emil")]
    assert [bool(one["feedback"]) for one in seen] == [True, False]
    taken = http.post(f"{api}/assignment/sums/unrelease").json()
    assert not taken["success"]
    assert "formgrader" in http.get("formgrader/manage_submissions/sums").text
