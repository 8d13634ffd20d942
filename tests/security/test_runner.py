"""The Hub without Docker's socket: the real platform, its Hub's account and its runner."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
from docker.errors import APIError
from docker.types import DeviceRequest

from core.course import Course, load
from core.settings import ROOT, Settings
from hub.storage import SECRETS, folder
from labs import homes
from labs.containers import plan
from labs.runner import socket_path
from tests.platform import RunningPlatform, wait_for
from tests.security.attacks import note
from tests.unit.labs.things import lab

pytestmark = pytest.mark.docker

ENGINE = "/var/run/docker.sock"


@pytest.fixture(scope="module")
def hub(platform: RunningPlatform) -> psutil.Process:
    return psutil.Process(platform.processes()["hub"].pid)


@pytest.fixture
def narrow(platform: RunningPlatform) -> Iterator[docker.APIClient]:
    """Docker as the Hub sees it."""
    client = docker.APIClient(f"unix://{socket_path(platform.settings)}", version="auto")
    yield client
    client.close()


AS_HUB = """
import os, sys
from pathlib import Path
uid, gid, pid = map(int, sys.argv[1:4])
handle = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
import ctypes
assert ctypes.CDLL(None).setns(handle, 0) == 0
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
exec(sys.argv[4])
"""


def as_hub(hub: psutil.Process, code: str) -> str:
    """Run Python with the Hub's account and its view of the files; what it printed."""
    words = [str(hub.uids().real), str(hub.gids().real), str(hub.pid)]
    done = subprocess.run(
        [sys.executable, "-c", AS_HUB, *words, code], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_hub_has_no_rights_to_lose(hub: psutil.Process) -> None:
    status = Path(f"/proc/{hub.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert hub.username() == "dli-hub"
    assert set(fields["Uid"].split()) == {str(hub.uids().real)} != {"0"}
    assert fields["Groups"].split() == []
    assert int(fields["CapBnd"], 16) >= 0
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"].strip() == "1"


def test_the_hub_cannot_open_dockers_socket(hub: psutil.Process) -> None:
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({os.path.realpath(ENGINE)!r})"
    seen = as_hub(hub, code)
    note(__name__, f"open {ENGINE}", "refused", seen.strip().splitlines()[-1])
    assert "PermissionError" in seen or "FileNotFoundError" in seen
    with socket.socket(socket.AF_UNIX) as end:  # the control: root can
        end.connect(ENGINE)


def test_the_hub_reads_its_part_and_no_more(hub: psutil.Process, platform: RunningPlatform) -> None:
    state = platform.settings.state_dir
    own = [state / "secrets" / name for name in SECRETS]
    own += [folder(platform.settings) / "hub.sqlite"]
    others = [state / "secrets" / n for n in ("key-cli", "key-agent", "key-runner", "receipt")]
    others += [state / n for n in ("usage.sqlite", "grader.sqlite", "blobs", "logs", "gradebooks")]
    others += [state / "run" / n for n in ("supervisor.sock", "environment.json")]
    others += [Path("/etc/shadow")]
    check = "for p in {}: print(p, os.access(p, os.R_OK))"
    assert "False" not in as_hub(hub, check.format([str(p) for p in own]))
    there = [str(p) for p in others if p.exists()]
    assert len(there) > 8
    seen = as_hub(hub, check.format(there))
    assert "True" not in seen, seen
    assert seen.count("False") == len(there)
    for place in ("run", "secrets"):
        assert "PermissionError" in as_hub(hub, f"os.listdir({str(state / place)!r})")
    listed = as_hub(hub, f"print(sorted(os.listdir({str(state)!r})))")
    assert listed.strip() == "['hub', 'run', 'secrets']"
    assert "PermissionError" in as_hub(hub, f"open({str(ROOT / 'hub' / 'x')!r}, 'w')")
    environment = hub.environ()
    kept = {f.name: f.read_text().strip() for f in (state / "secrets").iterdir()}
    assert not [name for name, value in kept.items() if value in str(environment)]


FILL = """
import os
f = os.open(os.path.expanduser("~/fill"), os.O_CREAT | os.O_WRONLY)
n = 0
try:
    while n < 4096:
        os.posix_fallocate(f, n << 20, 16 << 20); n += 16
except OSError as error:
    print(n, error.strerror)
"""


def test_a_lab_runs_through_the_runner_and_cannot_fill_the_disk(platform: RunningPlatform) -> None:
    trainee = platform.sign_in("trainee")
    trainee.start_lab("intro-dl", "01-training-by-hand", gpu=False)
    trainee.lab_ready("trainee")
    (container,) = platform.containers(kind="lab", user="trainee")
    filled = container.exec_run(["python3", "-c", FILL]).output.decode()
    note(__name__, "fill the home of 1 GiB", "no space left", f"{filled.strip()} (MiB)")
    assert filled.split(maxsplit=1)[1].strip() == "No space left on device"
    assert 800 < int(filled.split()[0]) < 1024
    image = homes.folder(platform.settings) / "home-trainee.img"
    assert image.stat().st_size == 1 << 30
    trainee.stop_lab()
    wait_for("the lab to be gone", lambda: not platform.containers(kind="lab"))
    assert '"refused"' not in (platform.settings.state_dir / "logs" / "runner.log").read_text()
    homes.detach_all(platform.settings)  # as after a reboot
    again = homes.options(platform.settings, "home-trainee")
    assert Path(again["device"]).resolve().is_block_device()
    name = f"{platform.settings.instance}-home-trainee"
    client = docker.APIClient(f"unix://{socket_path(platform.settings)}", version="auto")
    client.remove_volume(name)  # as when a person is deleted from the Hub
    client.close()
    assert list(homes.folder(platform.settings).glob("home-trainee.*")) == []


def course_of(settings: Settings) -> Course:
    return load(settings.courses_dir / "intro-dl", settings.labs.images)


def test_what_a_taken_over_hub_would_try(
    platform: RunningPlatform, narrow: docker.APIClient
) -> None:
    """Through the runner's own socket, against the real engine."""
    raw = platform.docker.api
    foreign = raw.create_container("dli/lab-cpu:latest", name=f"{platform.settings.instance}-lab-x")
    settings = platform.settings
    made = plan(None, course_of(settings), lab(), "kim", "en", "172.30.0.1", settings)

    def create(**host: Any) -> Any:
        """As the Hub makes labs, with `host` changed."""
        config = narrow.create_host_config(**(made.host_config | host))
        return narrow.create_container(
            made.image, ["true"], name=made.name, entrypoint=made.entrypoint, user=made.user,
            environment=made.environment, working_dir=made.working_dir, labels=made.labels,
            host_config=config,
        )  # fmt: skip

    narrow.create_volume(made.volume, labels=made.volume_labels)
    narrow.remove_container(create()["Id"], force=True, v=True)  # the control
    tries = {
        "a privileged container": lambda: create(privileged=True),
        "the machine's root mounted": lambda: create(binds=["/:/host"]),
        "the machine's network": lambda: create(network_mode="host"),
        "the machine's processes": lambda: create(pid_mode="host"),
        "a capability": lambda: create(cap_add=["SYS_ADMIN"]),
        "a disk": lambda: create(devices=["/dev/sda"]),
        "a GPU without a lease": lambda: create(device_requests=[DeviceRequest(count=-1)]),
        "a container that is no lab": lambda: narrow.create_container(made.image, "id", name="x"),
        "a volume that is the root": lambda: narrow.create_volume(
            f"{platform.settings.instance}-home-x",
            driver_opts={"type": "none", "o": "bind", "device": "/"},
        ),
        "a list of all containers": lambda: narrow.containers(all=True),
        "exec in a container": lambda: narrow.exec_create(foreign["Id"], "id"),
        "start a container of others": lambda: narrow.start(foreign["Id"]),
        "inspect a container of others": lambda: narrow.inspect_container(foreign["Id"]),
        "remove a container of others": lambda: narrow.remove_container(foreign["Id"], force=True),
        "logs of others": lambda: narrow.logs(foreign["Id"]),
        "a file out of a container": lambda: narrow.get_archive(foreign["Id"], "/etc/passwd"),
        "a pull": lambda: narrow.pull("debian"),
        "another network": lambda: narrow.inspect_network("bridge"),
        "a new network": lambda: narrow.create_network("x"),
        "another image": lambda: narrow.inspect_image("dli/sandbox:latest"),
        "another volume": lambda: narrow.inspect_volume("postgres"),
        "another volume's end": lambda: narrow.remove_volume("postgres"),
        "the engine's own facts": narrow.info,
        "a commit": lambda: narrow.commit(foreign["Id"]),
    }  # fmt: skip
    seen = {}
    try:
        for name, attempt in tries.items():
            try:
                seen[name] = f"succeeded: {attempt()}"
            except APIError as error:
                seen[name] = f"{error.status_code} {error.explanation}"
        for name, what in seen.items():
            note(__name__, name, "refused", what)
        assert {what[:3] for what in seen.values()} == {"403"}, seen
        assert raw.inspect_container(foreign["Id"])["State"]["Status"] == "created"
    finally:
        raw.remove_container(foreign["Id"], force=True)


def test_a_killed_runner_comes_back(platform: RunningPlatform) -> None:
    platform.kill("runner")
    name = f"n{secrets.token_hex(3)}"
    deadline = time.monotonic() + 120
    while True:
        try:
            client = docker.APIClient(f"unix://{socket_path(platform.settings)}", version="auto")
            break
        except docker.errors.DockerException:
            assert time.monotonic() < deadline, name
            time.sleep(0.2)
    client.close()
    status = socket_path(platform.settings).stat()
    assert status.st_mode & 0o777 == 0o600
