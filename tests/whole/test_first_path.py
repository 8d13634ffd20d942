"""The first path over HTTP, from sign-in to feedback, and the command on a running platform."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import supervisor
from cli.coursework import grader_client
from cli.demo import COHORT
from cli.errors import CliError
from cli.steps import Steps
from cli.up import bring_up
from core.settings import ROOT
from tests.people import Person, words
from tests.platform import RunningPlatform, running_platform, wait_for

COURSE, ASSIGNMENT, LAB = "intro-dl", "digits", "assessment"

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


def test_a_trainee_works_and_an_instructor_grades(platform: RunningPlatform):
    published = _dli(platform, "publish", COURSE, ASSIGNMENT)
    assert published.returncode == 0, published.stderr

    trainee = platform.sign_in("trainee")
    home = words(trainee.get("/services/usage/"))
    assert "20 hr" in home
    assert "Simulated" in home

    trainee.start_lab(COURSE, LAB)
    trainee.lab_ready("trainee")
    (container,) = platform.containers(kind="lab")
    assert container.labels["dli.user"] == "trainee"

    _work(trainee)
    lab = {"course_id": COURSE, "assignment_id": ASSIGNMENT}
    submitted = trainee.lab("trainee", "assignments/submit", "POST", data=lab).json()
    assert submitted["success"], submitted
    _watched(platform.sign_in("instructor"), trainee)

    graded = _dli(platform, "grade", COURSE, ASSIGNMENT)
    assert graded.returncode == 0, graded.stderr
    client = grader_client(platform.settings)
    (result,) = client.results(COURSE, ASSIGNMENT)
    # What a person has to read is still to be graded; everything else earned all its points.
    assert (result.username, result.state) == ("trainee", "manual")
    tests, by_hand = _points()
    assert (result.score, result.max_score) == (tests, tests + by_hand), result
    client.close()

    page = f"/services/grader/submissions/{result.submission}"
    feedback = f"{page}/feedback/digits"
    assert trainee.get(feedback).status_code == 404
    released = _dli(platform, "release", COURSE, ASSIGNMENT)
    assert released.returncode == 0, released.stderr
    seen = trainee.get(feedback)
    assert seen.status_code == 200
    assert "sandbox" in seen.headers["content-security-policy"]

    stopped_after = time.monotonic()
    trainee.stop_lab()
    charge = wait_for("the charge is final", lambda: _ended(platform))
    assert (charge.username, charge.lab) == ("trainee", LAB)
    held_s = charge.held_ms / 1000
    assert 0 < held_s < stopped_after
    assert charge.charged == charge.held_ms * 120  # one seventh of 840
    admin = platform.sign_in("admin")
    assert "trainee" in words(admin.get(f"/services/usage/admin/cohorts/{platform.cohort}"), 20_000)


def _watched(instructor: Person, trainee: Person) -> None:
    """The live class shows lab and work; what is announced reaches the lab and the home."""
    path = f"/services/usage/classes/demo?course={COURSE}"

    def shown() -> str:
        text = words(instructor.get(path), 9_000)
        return text if "Running with GPU" in text and re.search(r"Submitted|/ 20", text) else ""

    assert "trainee" in wait_for("lab and work in the class", shown, every=0.5)
    told = instructor.submit(path, {"text": "Break until 15:00"}, "/announcements")
    assert "on its way" in words(told, 9_000)
    status = trainee.lab("trainee", "dli-lab/status").json()
    assert any("Break until 15:00" in warning["message"] for warning in status["warnings"])
    assert "Break until 15:00" in trainee.get("/services/usage/").text


def test_a_backup_comes_back_whole(platform: RunningPlatform, tmp_path: Path):
    """Grades, ledger, sign-ins, feedback, receipts and home folders, in an instance of its own."""
    file = tmp_path / "backup.tar.gz"
    done = _dli(platform, "backup", str(file), "--homes")
    assert done.returncode == 0, done.stderr
    client = grader_client(platform.settings)
    results = client.results(COURSE, ASSIGNMENT)
    client.close()
    charges, budget = platform.usage.charges(platform.cohort), platform.usage.budget(COHORT)
    with running_platform(backup=file) as other:
        assert other.settings.instance != platform.settings.instance
        client = grader_client(other.settings)
        assert client.results(COURSE, ASSIGNMENT) == results
        client.close()
        assert other.usage.charges(COHORT) == charges
        assert other.usage.budget(COHORT) == budget
        trainee = other.sign_in("trainee", platform.passwords["trainee"])
        page = f"/services/grader/submissions/{results[0].submission}"
        assert trainee.get(f"{page}/feedback/{ASSIGNMENT}").status_code == 200
        assert trainee.get(f"{page}/archive").content
        trainee.start_lab(COURSE, LAB, gpu=False)
        trainee.lab_ready("trainee")
        kept = trainee.lab("trainee", f"api/contents/{COURSE}/{ASSIGNMENT}/{ASSIGNMENT}.ipynb")
        assert kept.status_code == 200
        refused = _dli(other, "restore", str(file))
        assert refused.returncode == 1
        assert "running" in refused.stderr


def _work(trainee: Person) -> None:
    """Put the instructor's own solution into the cells of the assignment, which the lab brought."""
    listed = trainee.lab("trainee", f"assignments?course_id={COURSE}").json()
    assert listed["success"], listed
    assert {a["assignment_id"]: a["status"] for a in listed["value"]} == {ASSIGNMENT: "fetched"}
    path = f"api/contents/{COURSE}/{ASSIGNMENT}/{ASSIGNMENT}.ipynb"
    notebook = trainee.lab("trainee", path).json()["content"]
    solved = {
        cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
        for cell in _source_cells()
        if cell["metadata"]["nbgrader"]["solution"]
    }
    assert solved
    for cell in notebook["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        assert "BEGIN HIDDEN TESTS" not in cell["source"]
        if grade_id in solved:
            assert "BEGIN SOLUTION" not in cell["source"]
            cell["source"] = solved[grade_id]
    body = {"type": "notebook", "format": "json", "content": notebook}
    saved = trainee.lab("trainee", path, "PUT", json=body)
    assert saved.status_code == 200, saved.text


def _source_cells() -> list[dict[str, Any]]:
    source = ROOT / "courses" / COURSE / "assignments" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if "nbgrader" in cell["metadata"]]


def _points() -> tuple[int, int]:
    """Points given by tests, and by a person."""
    graded = [
        c["metadata"]["nbgrader"] for c in _source_cells() if c["metadata"]["nbgrader"]["grade"]
    ]
    by_hand = sum(cell["points"] for cell in graded if cell["solution"])
    return sum(cell["points"] for cell in graded) - by_hand, by_hand


def _ended(platform: RunningPlatform):
    charges = platform.usage.charges(platform.cohort)
    assert len(charges) == 1
    return charges[0] if charges[0].state == "ended" else None


def test_a_second_up_changes_nothing(platform: RunningPlatform):
    before = {name: state.pid for name, state in platform.processes().items()}
    again = bring_up(platform.settings, Steps(Console(file=io.StringIO())), development=True)
    assert not again.restarted
    assert again.demo is not None
    assert again.demo.passwords == {}
    assert again.demo.event_code == platform.event_code
    assert {name: state.pid for name, state in platform.processes().items()} == before


def test_the_commands_tell_what_runs(platform: RunningPlatform):
    status = _dli(platform, "status")
    assert status.returncode == 0, status.stderr
    for name in ("proxy", "hub", "usage", "grader", "agent", "worker-1"):
        assert name in status.stdout
    assert platform.url in status.stdout
    doctor = _dli(platform, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "simulated" in doctor.stdout
    korean = _dli(platform, "status", LANG="ko_KR.UTF-8")
    assert "프로세스" in korean.stdout


def test_an_unknown_assignment_is_a_sentence(platform: RunningPlatform):
    for action in ("publish", "grade", "release"):
        done = _dli(platform, action, COURSE, "no-such")
        assert done.returncode == 1
        assert "no such course or assignment" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_taken_port_stops_the_start_with_setting_and_holder(platform: RunningPlatform):
    ports = {"public": platform.settings.ports.public}
    taken = pytest.raises(CliError, match=r"ports\.public\) is taken by node")
    with taken, running_platform(ports=ports):
        pass


def test_logs_tell_who_and_what_and_hold_no_secret(platform: RunningPlatform):
    charge = platform.usage.charges(platform.cohort)[0]
    folder = platform.settings.state_dir
    text = "\n".join(file.read_text() for file in sorted((folder / "logs").glob("*.log*")))
    started = next(line for line in text.splitlines() if '"lab started"' in line)
    told = json.loads(started)
    assert (told["person"], told["lease"], told["lab"]) == ("trainee", charge.lease_id, LAB)
    hidden = [file.read_text().strip() for file in (folder / "secrets").iterdir()]
    hidden += [*platform.passwords.values(), platform.event_code]
    assert len(hidden) > 12
    assert [word for word in hidden if word in text] == []


def test_down_and_purge_leave_nothing(platform: RunningPlatform):
    """The last of this module: nothing of the platform is left for another."""
    settings = platform.settings
    pids = [state.pid for state in platform.processes().values()]
    trainee = platform.sign_in("trainee")
    trainee.start_lab(COURSE, "01-training-by-hand", gpu=False)
    trainee.lab_ready("trainee")
    assert platform.containers(kind="lab")
    environment = supervisor.process_environment(settings)
    done = _run(environment, "down", "--purge", "--yes", "--keep-images")
    assert done.returncode == 0, done.stderr
    assert not settings.state_dir.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    mine = {"label": f"dli.instance={settings.instance}"}
    assert platform.docker.containers.list(all=True, filters=mine) == []
    assert platform.docker.volumes.list(filters=mine) == []
    assert platform.docker.networks.list(filters=mine) == []


def _dli(platform: RunningPlatform, *words: str, **variables: str):
    environment = supervisor.process_environment(platform.settings)
    return _run(environment | {"LANG": "C.UTF-8"} | variables, *words)


def _run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DLI_", "LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
