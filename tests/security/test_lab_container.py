"""A lab attacked from inside: nothing it tries gets it out, further, or past its deadline.

Controls (names with a plus) must succeed: they show that the probe can see a success.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from labs import containers, firewall, network
from tests.platform import wait_for
from tests.security.attacks import note
from tests.security.lab_boxes import Boxes, boxes, listening, own_address
from tests.unit.labs.things import lease, slot

pytestmark = pytest.mark.docker

PROBE = (Path(__file__).parent / "lab_probe.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    folder = tmp_path_factory.mktemp("boxes")
    for place in (folder.parent, folder):
        place.chmod(0o755)
    with boxes(folder) as found:
        yield found


@pytest.fixture(scope="module")
def neighbour(labs: Boxes) -> httpx.Client:
    """Another learner's lab, which this machine reaches."""
    container = labs.start("neighbour", "python3", "-m", "http.server", "8888")
    url = f"http://{labs.address(container)}:8888"
    client = httpx.Client(base_url=url, trust_env=False, timeout=60)
    deadline = time.monotonic() + 120
    while True:
        try:
            client.get("/").raise_for_status()
            return client
        except httpx.HTTPError:
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.1)


def probed(labs: Boxes, neighbour: httpx.Client) -> dict[str, tuple[bool, str]]:
    ports = labs.settings.ports
    ours = [(labs.gateway, ports.public), (labs.gateway, ports.hub), ("0.0.0.0", 0)]
    with listening(*ours) as (public, hub, other):
        targets = {
            "+ the proxy": (labs.gateway, public),
            "+ the Hub": (labs.gateway, hub),
            "a service of this machine": (labs.gateway, other),
            "the same, by its own address": (own_address(), other),
            "the same, by Docker's bridge": ("172.17.0.1", other),
            "the same, by loopback": ("127.0.0.1", other),
            "another lab": (neighbour.base_url.host, 8888),
            "the metadata address": ("169.254.169.254", 80),
            "private range 10/8": ("10.0.0.1", 80),
            "private range 172.16/12": ("172.16.0.1", 80),
            "private range 192.168/16": ("192.168.1.1", 80),
            "the internet": ("1.1.1.1", 443),
        }
        status, output = labs.run("attacker", PROBE, TARGETS=json.dumps(targets))
    assert status == 0, output
    line = next(x for x in output.splitlines() if x.startswith("SEEN "))
    return {name: (bool(ok), seen) for name, (ok, seen) in json.loads(line[5:]).items()}


def test_nothing_succeeds_from_inside(labs: Boxes, neighbour: httpx.Client) -> None:
    rows = probed(labs, neighbour)
    for name, (succeeded, seen) in rows.items():
        expected = "succeeds" if name.startswith("+") else "refused"
        note(__name__, name, expected, f"{'succeeded' if succeeded else 'refused'}: {seen}")
    controls = {name for name in rows if name.startswith("+")}
    assert len(rows) > 70
    assert len(controls) == 2
    assert {name for name, (succeeded, _seen) in rows.items() if succeeded} == controls


def test_the_probe_sees_an_open_firewall(labs: Boxes, neighbour: httpx.Client) -> None:
    """Without our rules the machine's services are reachable; the next guard closes them again."""
    firewall.remove(labs.settings)
    try:
        rows = probed(labs, neighbour)
    finally:
        network.guard(labs.client, labs.settings)
    assert rows["a service of this machine"][0]
    assert network.guarded(labs.client, labs.settings)


def test_a_fork_bomb_stays_in_its_lab(labs: Boxes, neighbour: httpx.Client) -> None:
    code = (
        "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.05)\n"
    )
    container = labs.start("bomber", "python3", "-c", code)
    limit = labs.settings.labs.pids
    seen: list[int] = []

    def full() -> bool:
        assert neighbour.get("/").status_code == 200
        seen.append(container.stats(stream=False)["pids_stats"].get("current", 0))
        return seen[-1] > limit // 2

    wait_for("the bomb at its limit", full)
    for _look in range(2):
        full()
    print(f"fork bomb: {max(seen)} of {limit} processes")
    assert max(seen) <= limit
    container.remove(force=True)
    labs.made.remove(container)


def test_memory_is_taken_from_nobody_else(labs: Boxes, neighbour: httpx.Client) -> None:
    code = "held = []\nwhile True: held.append(bytearray(32 << 20)); print(len(held), flush=True)"
    status, output = labs.run("hungry", code)
    most = max(int(x) for x in output.split() if x.isdigit()) * 32
    print(f"memory: ended with {status} at {most} MiB")
    assert status == 137
    assert most <= labs.settings.labs.memory_mb
    assert neighbour.get("/").status_code == 200


@pytest.mark.parametrize(("place", "share"), [("/tmp", 4), ("/dev/shm", 4)])
def test_temporary_files_have_an_end(labs: Boxes, place: str, share: int) -> None:
    code = (
        "import os\n"
        f"f = open({place + '/fill'!r}, 'wb', buffering=0); n = 0\n"
        "try:\n"
        "    while True: n += f.write(bytes(1 << 20))\n"
        "except OSError as e: print(n >> 20, e.strerror)\n"
    )
    status, output = labs.run("filler", code)
    print(f"{place}: {output.strip()}")
    assert status == 0
    assert output.split(maxsplit=1)[1].strip() == "No space left on device"
    assert int(output.split()[0]) <= labs.settings.labs.memory_mb // share


def test_nothing_outlives_the_deadline(labs: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignored signals, sessions of their own, and every way to stop the process that counts."""
    monkeypatch.setattr(containers, "KILL_AFTER_S", 2)
    code = (
        "import ctypes, os, signal, time\n"
        "libc = ctypes.CDLL(None)\n"
        "for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\n"
        "if os.fork() == 0: os.setsid()\n"
        "os.fork()\n"
        "while True:\n"
        "    for s in (9, 19, 20): os.kill(1, s)\n"  # TERM, INT, ALRM only end it sooner
        "    libc.ptrace(16, 1, None, None); libc.ptrace(0x4206, 1, None, None)\n"
        "    try: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))\n"
        "    except OSError: pass\n"
        "    print('on', flush=True); time.sleep(0.2)\n"
    )
    held = lease(slot(simulated=True), limit_ms=5_000)
    began = time.monotonic()
    _status, output = labs.run("late", code, seconds=120, lease=held)
    took = time.monotonic() - began
    print(f"deadline of 5 s (+2 s to kill): ended after {took:.1f} s")
    assert "on" in output
    assert took >= 5


def test_the_network_goes_with_its_rules(tmp_path: Path) -> None:
    with boxes(tmp_path) as found:
        assert network.guarded(found.client, found.settings)
        settings = found.settings
    chain = firewall.chain_of(settings)
    assert not firewall._lines("-S", chain, missing_is_empty=True)
    assert not [line for line in firewall._lines("-S", "INPUT") if chain in line]
