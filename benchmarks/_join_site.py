"""Proxy, Hub, usage and grader service on free ports, without Docker: what benchmarks/join.py asks.

``python -m benchmarks._join_site PORT`` is the small server that stands for every lab.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from core import secrets
from core.clock import now
from core.settings import ROOT, Settings, environment
from core.units import gpu_hours, weight_of
from core.wire import Slot
from tests.platform import _settings_only_from, free_ports, shared_node
from usage.client import CohortSpec, UsageClient

COHORTS = {"morning": "MORNING-2026", "evening": "EVENING-2026"}
COURSE = "intro-dl"


@dataclass
class Site:
    """What runs. `gpus`: how many sevenths of a GPU there are."""

    settings: Settings
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The public address."""
        return self.settings.public_url

    def client(self, key: str) -> UsageClient:
        """The usage service with one of the platform's keys."""
        address = f"http://127.0.0.1:{self.settings.ports.usage}/services/usage"
        return UsageClient(address, secrets.load(self.settings.state_dir, key))

    def start(self, name: str, *words: str, **extra: str) -> None:
        """Start a process of the platform; its output goes to a file."""
        folder = self.settings.state_dir / "logs"
        folder.mkdir(exist_ok=True)
        here = {"PYTHONPATH": str(ROOT)}
        variables = {**os.environ, **environment(self.settings), **here, **extra}
        with (folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.settings.state_dir,
                env=variables,
                stdout=log,
                stderr=log,
            )

    def cpu_seconds(self) -> dict[str, float]:
        """What each process has computed so far."""
        found = {}
        for name, process in self.processes.items():
            times = psutil.Process(process.pid).cpu_times()
            found[name] = times.user + times.system
        return found

    def wait(self, path: str, seconds: float = 180) -> None:
        """Until a page answers; a redirect is the Hub's, which has no route yet. Raises
        TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if httpx.get(self.url + path, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise TimeoutError(f"{path} did not answer in {seconds:g} s:\n{self.logs()}")

    def logs(self) -> str:
        """The end of every log."""
        files = sorted((self.settings.state_dir / "logs").glob("*.log"))
        return "\n".join(f"== {f.name}\n{f.read_text(errors='replace')[-3000:]}" for f in files)


@contextmanager
def site(gpus: int, seats: int) -> Iterator[Site]:
    """Run it: two cohorts with an event code of `seats` each, `gpus` sevenths of a GPU."""
    names = ("public", "proxy_api", "hub", "usage", "grader")
    with tempfile.TemporaryDirectory(prefix="dli-join-") as folder:
        state = Path(folder) / "s"
        (state / "run").mkdir(parents=True)
        with _settings_only_from(Path(folder) / "none.toml"):
            *ports, labs_port = free_ports(len(names) + 1)
            settings = Settings(
                instance="bench-join", state_dir=state, ports=dict(zip(names, ports, strict=True))
            )
            (state / "node").symlink_to(shared_node(settings))
            secrets.ensure(state)
            url = f"http://127.0.0.1:{settings.ports.hub}/hub/api"
            (state / "run" / "hub-api-url").write_text(url)
            running = Site(settings)
            try:
                _begin(running, labs_port)
                _furnish(running, gpus, seats)
                yield running
            finally:
                for process in running.processes.values():
                    process.terminate()
                for process in running.processes.values():
                    process.wait(20)


def _begin(running: Site, labs_port: int) -> None:
    here = Path(__file__).with_name("_join_hub.py")
    running.start("proxy", "-m", "cli.proxy")
    running.start("labs", "-m", "benchmarks._join_site", str(labs_port))
    running.start("usage", "-m", "usage")
    running.start("grader", "-m", "grader")
    running.start("hub", "-m", "jupyterhub", "-f", str(here), BENCH_LABS_PORT=str(labs_port))
    for path in ("/hub/health", "/services/usage/healthz", "/services/grader/healthz"):
        running.wait(path)


def _furnish(running: Site, gpus: int, seats: int) -> None:
    slots = [
        Slot(
            id=f"MIG-{number}",
            device=f"MIG-{number}",
            gpu=f"GPU-{number // 7}",
            host="here",
            kind="mig",
            model="NVIDIA H100 80GB",
            memory_mb=10_000,
            weight=weight_of(1, 7),
            profile="1g.10gb",
        )
        for number in range(gpus)
    ]
    running.client("key-agent").put_inventory("here", slots)
    cli, moment = running.client("key-cli"), now()
    begin, end = ((moment + timedelta(days=days)).isoformat() for days in (-1, 30))
    for cohort, code in COHORTS.items():
        spec: dict[str, Any] = {"id": cohort, "name": cohort.title(), "courses": [COURSE]}
        cli.create_cohort(CohortSpec(**spec, starts=begin, ends=end))
        cli.grant(cohort, gpu_hours("500"), "bench", "start", f"grant-{cohort}")
        cli.create_code(cohort, code, seats)


async def _labs(port: int) -> None:
    """One answer for every lab."""
    body = b"<!doctype html><title>Lab</title>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
    answer = (head + "X-JupyterHub-Version: 6.1.1\r\nConnection: close\r\n\r\n").encode() + body

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_labs(int(sys.argv[1])))
