"""The two set-ups that `spawn` compares: ours, and stock JupyterHub with DockerSpawner."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx

from benchmarks._learner import Learner
from cli import image_parts, images, proxy
from core.settings import ROOT, Settings
from tests.hub.stack import COHORT, running_stack
from tests.platform import free_ports, wait_for

STOCK = images.Image(
    tag="dli/bench-stock:latest",
    folder="benchmarks/stock",
    parent=images.BASE,
    wheels=(
        "images/python/build.txt",
        "images/python/requirements.txt",
        "benchmarks/stock/requirements.txt",
    ),
)


@dataclass(frozen=True)
class Side:
    """A set-up with its learners, none of whom has a lab yet. `label` finds its containers."""

    name: str
    learners: list[Learner]
    label: str


@contextmanager
def ours(people: int, say: Callable[[str], None]) -> Iterator[Side]:
    """The platform's own proxy, runner, Hub, spawner, usage service and agent; leases for all."""
    say("starting the platform")
    gpus = -(-people // 7) + 1
    with running_stack(
        runner=True,
        gpus={"simulated": f"{gpus}x NVIDIA H100 80GB, MIG 7"},
        labs={"start_seconds": 900},
        usage={"heartbeat_seconds": 10},
    ) as stack:
        learners = []
        options = {"course": "tiny", "lab": "optional", "cohort": COHORT, "language": "ko"}
        for number in range(people):
            name = f"learner-{number}"
            stack.add_person(name)
            with stack.sign_in(name) as person:
                answer = person.http.post(
                    f"/hub/api/users/{name}/tokens",
                    json={"note": "benchmark"},
                    headers={"X-XSRFToken": person.xsrf(), "Referer": f"{person.url}/hub/"},
                )
                token = answer.raise_for_status().json()["token"]
            learners.append(
                Learner(stack.settings.public_url, name, token, {**options, "gpu": "yes"})
            )
        yield Side("ours", learners, f"dli.instance={stack.settings.instance}")


@contextmanager
def stock(people: int, client: docker.DockerClient, say: Callable[[str], None]) -> Iterator[Side]:
    """JupyterHub's defaults with DockerSpawner and the usual image."""
    images.build(STOCK, Settings(), client, say)
    say("starting the stock set-up")
    instance = f"b-{secrets.token_hex(4)}"
    network = client.networks.create(instance, labels={"dli.instance": instance})
    folder = Path(tempfile.mkdtemp(prefix="dli-stock-"))
    try:
        network.reload()
        gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
        with _hub(folder, instance, gateway) as (url, api):
            learners = [_stock_learner(url, api, number) for number in range(people)]
            yield Side("stock", learners, f"dli.instance={instance}")
    finally:
        for container in client.containers.list(
            all=True, filters={"label": f"dli.instance={instance}"}, ignore_removed=True
        ):
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)
        network.remove()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _hub(folder: Path, instance: str, gateway: str) -> Iterator[tuple[str, httpx.Client]]:
    from web import assets

    public, hub_port, proxy_api = free_ports(3)
    node_modules = assets.install(image_parts.cache_dir(Settings()) / "tests", development=True)
    program = node_modules / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    token = secrets.token_hex(16)
    url = f"http://127.0.0.1:{public}"
    given = {
        "url": url,
        "gateway": gateway,
        "hub_port": hub_port,
        "proxy_api_port": proxy_api,
        "proxy": [proxy.node(), str(program)],
        "image": STOCK.tag,
        "network": instance,
        "instance": instance,
        "token": token,
    }
    log = folder / "hub.log"
    with log.open("wb") as output:
        hub = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterhub",
                "-f",
                str(ROOT / "benchmarks" / "stock" / "jupyterhub_config.py"),
            ],
            cwd=folder,
            env={**os.environ, "BENCH_STOCK": json.dumps(given)},
            stdout=output,
            stderr=output,
        )
    api = httpx.Client(
        base_url=f"{url}/hub/api", headers={"Authorization": f"token {token}"}, trust_env=False
    )
    try:
        wait_for("the stock Hub", lambda: _answers(api), 60)
        yield url, api
    except BaseException:
        print(log.read_text(errors="replace")[-5000:], file=sys.stderr)
        raise
    finally:
        api.close()
        hub.send_signal(signal.SIGINT)
        try:
            hub.wait(60)
        except subprocess.TimeoutExpired:
            hub.kill()
            hub.wait()


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/").status_code == 200
    except httpx.HTTPError:
        return False


def _stock_learner(url: str, api: httpx.Client, number: int) -> Learner:
    name = f"learner-{number}"
    api.post(f"/users/{name}").raise_for_status()
    token = api.post(f"/users/{name}/tokens", json={"note": "benchmark"}).raise_for_status()
    return Learner(url, name, token.json()["token"], {})
