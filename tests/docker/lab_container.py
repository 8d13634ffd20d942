"""One lab container as the spawner starts it, beside a pretended Hub and pretended services."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import docker
import httpx

TOKEN = "the-learners-token"
LAB_TOKEN = "the-labs-own-token"
STATUS = {
    "gpu": "NVIDIA H100 80GB 1g.10gb",
    "simulated": True,
    "seconds_left": 900,
    "stop_reason": "the cohort's budget",
    "budget_gpu_seconds": 9000,
    "warnings": [],
}


@dataclass
class Outside:
    """What the lab reaches: the Hub's API and the platform's services, in one small server."""

    port: int = 0
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """(method and path, Authorization, body) of each request."""

    def answer(self, path: str, authorization: str) -> tuple[int, Any]:
        """Status and JSON for a request."""
        if path.startswith("/hub/api/user"):
            if authorization.removeprefix("token ") != TOKEN:
                return 403, {"message": "no"}
            return 200, {
                "name": "ada",
                "kind": "user",
                "admin": False,
                "groups": [],
                "scopes": ["access:servers!server=ada/"],
            }
        if path.startswith("/usage/api/me/status"):
            return 200, STATUS
        if path == "/usage/api/me/requests":
            return 409, {"code": "no", "message": "Not today."}
        return 200, {"version": "6.1.1"}


@contextmanager
def outside() -> Iterator[Outside]:
    """Serve `Outside` on a free port."""
    world = Outside()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            authorization = self.headers.get("Authorization", "")
            world.seen.append((f"{self.command} {self.path}", authorization, body))
            status, data = world.answer(self.path, authorization)
            content = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("X-JupyterHub-Version", "6.1.1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: `seen` has it."""

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    world.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class LabContainer:
    """A running lab. `http` calls ``/user/ada/…`` with the learner's token."""

    container: Any
    http: httpx.Client
    anonymous: httpx.Client

    def run(self, *command: str) -> str:
        """Output of a command inside. Raises AssertionError with the output when it fails."""
        code, output = self.container.exec_run(list(command))
        text: str = output.decode(errors="replace")
        assert code == 0, text
        return text

    def python(self, code: str) -> str:
        """Output of Python code in the image's environment."""
        return self.run("python3", "-c", code).strip()


@contextmanager
def lab(
    client: docker.DockerClient, world: Outside, image: str, **more: Any
) -> Iterator[LabContainer]:
    """A lab of user ada in `image`, ready. `more`: environment, volumes for docker-py."""
    name = f"image-{secrets.token_hex(4)}"
    gateway = client.networks.get("bridge").attrs["IPAM"]["Config"][0].get("Gateway", "172.17.0.1")
    address = f"http://{gateway}:{world.port}"
    volume = client.volumes.create(name, labels={"dli.instance": name})
    scopes = '["access:servers!server=ada/", "access:servers!user=ada"]'
    environment = {
        "DLI_COURSE": "tiny",
        "DLI_LANG": "ko",
        "DLI_USAGE_URL": f"{address}/usage",
        "DLI_GRADER_URL": f"{address}/grader",
        "HOME": "/home/learner",
        "JUPYTERHUB_API_TOKEN": LAB_TOKEN,
        "JUPYTERHUB_USER": "ada",
        "JUPYTERHUB_API_URL": f"{address}/hub/api",
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
        "JUPYTERHUB_OAUTH_SCOPES": scopes,
    }
    container = client.containers.run(
        image,
        detach=True,
        name=name,
        entrypoint=["timeout", "-k", "30", "600"],
        command=client.images.get(image).attrs["Config"]["Cmd"],
        read_only=True,
        tmpfs={"/tmp": "rw,exec,mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        labels={"dli.instance": name},
        environment=environment | more.pop("environment", {}),
        volumes={name: {"bind": "/home/learner"}} | more.pop("volumes", {}),
    )
    try:
        yield _ready(container)
    except BaseException:
        print(container.logs().decode(errors="replace")[-8000:])
        raise
    finally:
        container.remove(force=True)
        volume.remove(force=True)


def _ready(container: Any) -> LabContainer:
    deadline = time.monotonic() + 180
    while True:
        container.reload()
        assert container.status in ("created", "running"), "the lab ended"
        ip = container.attrs["NetworkSettings"]["IPAddress"]
        base = f"http://{ip}:8888/user/ada/"
        anonymous = httpx.Client(base_url=base, trust_env=False, timeout=60)
        try:
            anonymous.get("api").raise_for_status()
        except httpx.HTTPError:
            anonymous.close()
            assert time.monotonic() < deadline, "the lab's server does not answer"
            time.sleep(0.2)
            continue
        headers = {"Authorization": f"token {TOKEN}"}
        signed_in = httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60)
        return LabContainer(container, signed_in, anonymous)
