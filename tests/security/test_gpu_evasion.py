"""Ways to more GPU time, or to somebody else's, with the powers of a learner and of their lab."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.hub.stack import COHORT, Stack, running_stack, wait_for
from tests.security.attacks import note

pytestmark = pytest.mark.docker

TAMPERED: dict[str, Any] = {
    "image": "dli/sandbox:latest",
    "environment": {"NVIDIA_VISIBLE_DEVICES": "all"},
    "NVIDIA_VISIBLE_DEVICES": "all",
    "volumes": {"/": "/host"},
    "host_config": {"privileged": True},
    "extra_host_config": {"privileged": True, "network_mode": "host"},
    "device_requests": [{"count": -1}],
    "limit_ms": 10**12,
    "profile": "admin",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        for name in ("kim", "lee"):
            running.add_person(name)
            running.sign_in(name)
        yield running


def test_starts_at_once_and_tampered_options_give_one_plain_lease(stack: Stack) -> None:
    def start(_number: int) -> int:
        url, token = stack.hub_url, stack.api.headers["Authorization"]
        options = {"course": "tiny", "lab": "optional", "cohort": COHORT, "gpu": "yes"}
        return httpx.post(
            f"{url}/users/kim/server",
            json={**options, "language": "en", **TAMPERED},
            headers={"Authorization": token},
            trust_env=False,
            timeout=90,
        ).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = sorted(pool.map(start, range(6)))
    assert set(answers) <= {201, 202, 400, 429}, answers
    wait_for("the lab", lambda: stack.server("kim").get("ready"))
    open_now = [c for c in stack.usage.charges(COHORT) if c.state != "ended"]
    assert len(open_now) == 1, (answers, open_now)
    found = stack.docker.api.inspect_container(stack.container("kim").id)
    host, config = found["HostConfig"], found["Config"]
    assert host["Privileged"] is False
    assert host["NetworkMode"] == stack.settings.network
    assert config["Image"] == stack.settings.labs.images["lab-cpu"]
    assert "NVIDIA_VISIBLE_DEVICES=void" in config["Env"]
    assert not [m for m in found["Mounts"] if m["Destination"] == "/host"]
    assert not host["DeviceRequests"]


def test_a_labs_token_does_nothing_for_others_and_no_second_server(stack: Stack) -> None:
    environment = stack.docker.api.inspect_container(stack.container("kim").id)["Config"]["Env"]
    given = dict(item.split("=", 1) for item in environment)
    rows = [
        ("GET", "/users"), ("GET", "/users/lee"), ("POST", "/users/lee/server"),
        ("DELETE", "/users/lee"), ("POST", "/users/lee/tokens"), ("PATCH", "/users/kim"),
        ("POST", "/users/kim/servers/second"), ("POST", "/users/mallory"), ("GET", "/groups"),
        ("GET", "/proxy"), ("GET", "/services"), ("POST", "/shutdown"),
        ("POST", "/shares/lee/"),
    ]  # fmt: skip
    seen = {}
    with httpx.Client(base_url=stack.hub_url, trust_env=False, timeout=90) as lab:
        lab.headers["Authorization"] = f"token {given['JUPYTERHUB_API_TOKEN']}"
        for method, path in rows:
            body = None if method in ("GET", "DELETE") else {"admin": True}
            seen[f"{method} {path}"] = lab.request(method, path, json=body).status_code
    for name, status in seen.items():
        note(__name__, f"a lab's token: {name}", "refused", str(status))
    assert all(status in (400, 403, 404, 405) for status in seen.values()), seen
    secret = [v for k, v in given.items() if k != "JUPYTERHUB_API_TOKEN" and _secret(stack, v)]
    assert secret == []


def test_what_a_lab_shows_reaches_nobody_but_its_owner(stack: Stack) -> None:
    """JupyterLab serves a folder of the learner's home to everybody: a page with a script there,
    opened by an instructor, would act on the platform as the instructor."""
    page = "/home/learner/.local/share/jupyter/labextensions/x"
    write = f"mkdir -p {page} && echo '<script>evil</script>' > {page}/x.html"
    assert stack.container("kim").exec_run(["sh", "-c", write]).exit_code == 0
    kim, lee = stack.sign_in("kim"), stack.sign_in("lee")
    path = "/user/kim/lab/extensions/x/x.html"
    assert "evil" in kim.get(path).text  # the control, by way of the door
    for visitor in (lee, stack.visitor()):
        seen = visitor.get(path)
        assert "evil" not in seen.text, seen.url
        assert seen.status_code == (403 if visitor is lee else 200), seen.url  # or the sign-in page
        assert visitor.get(path, headers={"Accept": "*/*"}).status_code == 403


def _secret(stack: Stack, value: str) -> bool:
    folder = stack.settings.state_dir / "secrets"
    return any(file.read_text().strip() in value for file in folder.iterdir() if file.is_file())


def test_no_process_is_kept_after_stop_and_a_loop_of_restarts_is_counted(stack: Stack) -> None:
    container = stack.container("kim")
    keep = "import os,time\nif os.fork() == 0: os.setsid(); time.sleep(600)"
    container.exec_run(["python3", "-c", keep], detach=True)
    pids = wait_for(
        "the kept process",
        lambda: [int(row[1]) for row in container.top()["Processes"] if "time.sleep" in str(row)],
    )
    stack.stop_lab("kim")
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    stack.run_lab("kim", "optional", gpu="yes")
    stack.stop_lab("kim")
    wait_for(
        "both leases to be settled",
        lambda: len([c for c in stack.usage.charges(COHORT) if c.state == "ended"]) == 2,
    )
    assert all(c.charged > 0 for c in stack.usage.charges(COHORT))


def test_secrets_are_private_and_not_in_logs(stack: Stack) -> None:
    folder = stack.settings.state_dir
    files = [file for file in (folder / "secrets").iterdir() if file.is_file()]
    assert files
    logs = "".join(f.read_text(errors="replace") for f in (folder / "logs").glob("*.log"))
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600, file
        assert file.read_text().strip() not in logs, file.name
