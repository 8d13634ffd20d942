"""The play of `crash`, in namespaces of its own: learners come and go while parts are killed.

Held times are measured here, apart from the platform: each lab's first process is found in /proc by
the lease in its environment, and the kernel tells its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
import httpx

from benchmarks import recount
from benchmarks._crash_engine import Engine, load_image
from core.clock import boot_ms, now
from labs.exits import Exits
from labs.held import started_ms
from tests.hub.stack import COHORT, Stack, running_stack
from usage.client import UsageUnavailable
from usage.database import open_database

WEIGHT = 120
HEARTBEAT_S = 10
LONGEST_START_S = 300
IMAGE = "crash:1"
TOLERANCE_MS = 150
"""A start or end of a process is known to a clock tick, its end to the agent's next turn."""
PLACES = {"usage": 5, "agent": 3, "hub": 3, "docker": 2}
"""How often each part is killed, in proportion."""

Say = Callable[[str], None]


@dataclass
class Lab:
    """One lab as its processes were seen. Milliseconds of the boot clock."""

    lease: str
    started: int
    ended: int = 0
    ready: bool = False
    """Its learner saw it."""
    asked: bool = False
    """Its learner stopped it."""

    @property
    def held(self) -> int:
        return self.ended - self.started


class Watch(threading.Thread):
    """Finds labs' first processes and waits for their ends."""

    def __init__(self, seen: dict[str, Lab]) -> None:
        super().__init__(daemon=True)
        self._seen = seen
        self._known: set[tuple[int, int]] = set()
        self._exits = Exits()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            self._find()
            for lease in self._exits.wait(0.05):
                self._seen[lease].ended = boot_ms()

    def stop(self) -> None:
        """Return once the thread has ended."""
        self._over.set()
        self.join()
        self._exits.close()

    def _find(self) -> None:
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            pid = int(folder.name)
            started = started_ms(pid)
            if started is None or (pid, started) in self._known:
                continue
            lease = _lease_of(folder)
            if lease is None:
                continue  # looked at again: it may be about to become a lab
            self._known.add((pid, started))
            if lease and self._exits.watch(lease, pid, started):
                self._seen.setdefault(lease, Lab(lease, started))


def _lease_of(folder: Path) -> str | None:
    """The lease that a container's first process was started for; empty: none, for good."""
    try:
        if (folder / "comm").read_text().strip() != "timeout":
            return None
        words = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    if words == [b""]:
        return None  # its program is just being loaded
    found = [word for word in words if word.startswith(b"DLI_LEASE=")]
    return found[0].partition(b"=")[2].decode() if found else ""


class Learner(threading.Thread):
    """Starts a lab, works a while, stops it, again and again; whatever fails is tried again."""

    def __init__(self, stack: Stack, name: str, seen: dict[str, Lab], seed: int) -> None:
        super().__init__(daemon=True)
        self._stack, self.username, self._seen = stack, name, seen
        self._random = random.Random(seed)
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self._session()
            except (httpx.HTTPError, KeyError, AssertionError, ValueError):
                time.sleep(0.5)  # the Hub is away, or has just come back

    def _session(self) -> None:
        stack, name = self._stack, self.username
        if not stack.server(name):
            stack.ask(name, "required", "yes")
        if not self._comes_up():
            return
        # Part of them are never stopped by their learner: they must run through every crash.
        stays = self._random.random() < 0.4
        self.over.wait(600 if stays else self._random.uniform(1, 8))
        self._stop()

    def _comes_up(self) -> bool:
        for _ in range(60):
            server = self._stack.server(self.username)
            if not server:
                return False
            if server["ready"]:
                self._mark("ready")
                return True
            time.sleep(0.3)
        return False

    def _stop(self) -> None:
        while not self.over.is_set():
            try:
                self.ask_to_stop()
                if not self._stack.server(self.username):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.3)

    def ask_to_stop(self) -> None:
        """Ask the Hub once. Raises httpx.HTTPError."""
        self._mark("asked")
        self._stack.api.delete(f"/users/{self.username}/server")

    def _mark(self, what: str) -> None:
        """Note it of the learner's lab that runs now."""
        for lease in _open_leases(self._stack, self.username):
            if lease in self._seen:
                setattr(self._seen[lease], what, True)


def _open_leases(stack: Stack, username: str) -> list[str]:
    """Ids of a learner's open leases, from the database's file: the service may be dead."""
    query = "SELECT id FROM leases WHERE username = ? AND state != 'ended'"
    return [row[0] for row in _rows(stack, query, username)]


def _rows(stack: Stack, query: str, *values: str) -> list[Any]:
    file = stack.settings.state_dir / "usage.sqlite"
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def _kill(stack: Stack, engine: Engine, name: str) -> None:
    """SIGKILL and at once a new start, as a supervisor does it."""
    if name == "docker":
        engine.kill()
        engine.start()
    else:
        stack.stop(name, signal.SIGKILL)
        stack.start(name)


def _come_up(stack: Stack, engine: Engine, name: str) -> None:
    """Return when this part answers again. On a busy machine a Hub takes minutes for it."""
    deadline = time.monotonic() + LONGEST_START_S
    while True:
        try:
            if name == "docker":
                engine.wait(LONGEST_START_S).close()
            elif name == "hub":
                stack.wait_for_hub()
            elif name == "usage":
                stack.wait_for_usage()
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def _play(
    stack: Stack, engine: Engine, kills: int, seed: int, count: int, say: Say
) -> dict[str, Lab]:
    """Let learners come and go through `kills` crashes, then end all labs; what was seen."""
    dice = random.Random(seed)
    seen: dict[str, Lab] = {}
    watch = Watch(seen)
    watch.start()
    learners = []
    for number in range(count):
        stack.add_person(f"learner-{number}")
        stack.sign_in(f"learner-{number}").http.close()
        learners.append(Learner(stack, f"learner-{number}", seen, seed + number))
    for learner in learners:
        learner.start()
    _wait(lambda: sum(lab.ready for lab in seen.values()) >= count // 2, 90)
    for number in range(kills):
        name = dice.choices(list(PLACES), list(PLACES.values()))[0]
        say(f"{number + 1} of {kills}: {name}; {len(seen)} labs so far")
        _note(stack, name)
        _kill(stack, engine, name)
        if dice.random() < 0.8:  # else the next one is killed while this one comes up
            _come_up(stack, engine, name)
        time.sleep(dice.choice((0.2, 1.0, 2.0, 4.0)))
    say("everything comes up again")
    for learner in learners:
        learner.over.set()
    for name in ("docker", "usage", "hub"):
        _come_up(stack, engine, name)
    for learner in learners:
        learner.join(60)
    say("all labs end")
    _end_all(stack, learners, seen)
    watch.stop()
    return seen


def _end_all(stack: Stack, learners: list[Learner], seen: dict[str, Lab]) -> None:
    """Stop every lab through the Hub; return when none runs and none is charged any more.

    A lease whose start died with its Hub may still be reserved: it is freed later, uncharged.
    """
    deadline = time.monotonic() + 180
    while True:
        try:
            servers = {learner: stack.server(learner.username) for learner in learners}
            for learner, server in servers.items():
                if server.get("ready"):
                    learner.ask_to_stop()
            active = [c for c in stack.usage.charges(COHORT) if c.state == "active"]
            run = [lab for lab in seen.values() if not lab.ended]
            if not any((active, run, *servers.values())):
                return
        except (httpx.HTTPError, UsageUnavailable):
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"leases stay open:\n{stack.logs()}")
        time.sleep(0.5)


def _wait(ask: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > deadline:
            raise RuntimeError("no lab came up")
        time.sleep(0.1)


def _judge(stack: Stack, seen: dict[str, Lab], kills: int) -> dict[str, Any]:
    """Compare what was seen with what the platform has booked."""
    charges = {charge.lease_id: charge for charge in stack.usage.charges(COHORT)}
    grants = dict(_rows(stack, "SELECT id, grant_ms FROM leases"))
    lost, doubled, outlived, short = [], [], [], []
    unaccounted = [0.0]
    for lab in seen.values():
        charge = charges.get(lab.lease)
        if charge is None:
            lost.append(f"{lab.lease}: no such lease")
            continue
        if lab.ready and not lab.asked and lab.held < grants[lab.lease] - 1000:
            lost.append(f"{lab.lease}: ended at {lab.held} of {grants[lab.lease]} ms")
        if lab.held > grants[lab.lease] + 1000:
            outlived.append(f"{lab.lease}: {lab.held} of {grants[lab.lease]} ms")
        if charge.charged > (lab.held + TOLERANCE_MS) * WEIGHT:
            doubled.append(f"{lab.lease}: charged {charge.held_ms} ms of {lab.held}")
        if lab.ready:
            unaccounted.append(max(0, lab.held - charge.charged / WEIGHT) / 1000)
            if unaccounted[-1] > HEARTBEAT_S:
                short.append(f"{lab.lease}: charged {charge.held_ms} ms of {lab.held}")
    doubled += [
        f"{c.lease_id}: charged {c.held_ms} ms, never ran"
        for c in charges.values()
        if c.lease_id not in seen and c.charged > TOLERANCE_MS * WEIGHT
    ]
    database = open_database(stack.settings.usage_database)
    with database.read() as session:
        doubled += recount.differences(session)
    database.close()
    return {
        "kills": kills,
        "lost": len(lost),
        "doubled": len(doubled),
        "unaccounted_s_per_crash": round(sum(unaccounted) / kills, 3),
        "outlived": len(outlived),
        "worst_unaccounted_s": round(max(unaccounted), 3),
        "labs": sum(lab.ready for lab in seen.values()),
        "faults": [*lost, *doubled, *outlived],
        "evidence": _evidence(stack, [*lost, *doubled, *outlived, *short]),
    }


def _note(stack: Stack, name: str) -> None:
    """Write the kill of this part among the logs."""
    with (stack.settings.state_dir / "logs" / "kills.log").open("a") as log:
        log.write(f"{now().isoformat(timespec='milliseconds')} killed: {name}\n")


def _evidence(stack: Stack, faults: list[str]) -> list[str]:
    """The faults, and in the order of time what was killed and what the logs say of the leases."""
    wanted = {fault.partition(":")[0] for fault in faults}
    lines = [
        f"{file.stem}: {line}"
        for file in (stack.settings.state_dir / "logs").glob("*.log")
        for line in file.read_text(errors="replace").splitlines()
        if file.stem == "kills" or any(lease in line for lease in wanted)
    ]

    def moment(line: str) -> str:
        found = re.search(r"\d{4}-\d\d-\d\d.(\d\d:\d\d:\d\d[.,]\d{3})", line)
        return found[1].replace(",", ".") if found else ""

    return [*faults, *sorted(lines, key=moment)] if wanted else []


def main() -> int:
    """Arguments: a folder, how many kills, the seed, how many learners. Progress goes to standard
    error, the figures to standard output."""
    folder, (kills, seed, learners) = Path(sys.argv[1]), map(int, sys.argv[2:5])

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    engine = Engine(folder)
    try:
        engine.start()
        os.environ["DOCKER_HOST"] = engine.url
        client = engine.wait()
        load_image(client, folder, IMAGE)
        client.close()
        # After a crash the engine may not let its network go; it ends with these namespaces.
        with (
            contextlib.suppress(docker.errors.APIError),
            running_stack(
                labs={
                    "start_seconds": 30,
                    "images": {"lab-cpu": IMAGE, "lab-gone": "crash:gone"},
                    "memory_mb": 256,
                },
                # Grants as delivered: shorter ones would ask for parts that are up again sooner.
                usage={"heartbeat_seconds": HEARTBEAT_S, "free_failure_minutes": 0},
            ) as stack,
        ):
            seen = _play(stack, engine, kills, seed, learners, say)
            print(json.dumps(_judge(stack, seen, kills)), flush=True)
    finally:
        engine.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
