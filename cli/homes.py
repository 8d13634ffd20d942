"""Home volumes as archives: out of Docker and back, with owners and modes as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import docker

from cli import engine
from core.settings import Settings
from labs import homes
from labs.containers import HOME


@dataclass(frozen=True)
class Home:
    """One person's volume. `suffix` is its name without the instance."""

    name: str
    suffix: str
    user: str


def all_of(settings: Settings) -> list[Home]:
    """Every home of this instance."""
    labels = [f"dli.instance={settings.instance}", "dli.kind=home"]
    with _client() as client:
        found = client.volumes.list(filters={"label": labels})
    return [
        Home(v.name, v.name.removeprefix(f"{settings.instance}-"), v.attrs["Labels"]["dli.user"])
        for v in sorted(found, key=lambda volume: str(volume.name))
    ]


@contextmanager
def archived(settings: Settings, home: Home) -> Iterator[IO[bytes]]:
    """The volume's files as an open tar."""
    homes.attach_known(settings, home.suffix)
    with tempfile.TemporaryFile() as spooled, _mounted(settings, home.name) as container:
        stream, _about = container.get_archive(f"{HOME}/.")
        for chunk in stream:
            spooled.write(chunk)
        spooled.seek(0)
        yield spooled


def restore(settings: Settings, suffix: str, user: str, tar: IO[bytes]) -> None:
    """Make the volume of this instance and fill it."""
    name = f"{settings.instance}-{suffix}"
    labels = {"dli.instance": settings.instance, "dli.kind": "home", "dli.user": user}
    limited = {} if homes.problem(settings) else homes.options(settings, suffix)
    with _client() as client:
        client.volumes.create(name, driver_opts=limited, labels=labels)
    with _mounted(settings, name) as container:
        container.put_archive(HOME, tar)


@contextmanager
def _client() -> Iterator[docker.DockerClient]:
    client = engine.connect()
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _mounted(settings: Settings, volume: str) -> Iterator[Any]:
    """A container that holds the volume and never runs."""
    with _client() as client:
        container = client.containers.create(
            settings.labs.images["lab-cpu"],
            network_mode="none",
            volumes={volume: {"bind": HOME, "mode": "rw"}},
            labels={"dli.instance": settings.instance, "dli.kind": "backup"},
        )
        try:
            yield container
        finally:
            container.remove(force=True)
