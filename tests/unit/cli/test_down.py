"""What `./dli down --purge` removes, with Docker played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli import down
from core.settings import Settings


class Docker:
    """Remembers which images were removed."""

    def __init__(self, instances: list[str]) -> None:
        self.removed: list[str] = []
        image = SimpleNamespace(id="sha256:1", short_id="1", tags=["dli/lab-cpu:latest"])
        networks = [
            SimpleNamespace(attrs={"Labels": {"dli.instance": name}}, name=name, remove=None)
            for name in instances
        ]
        self.images = SimpleNamespace(
            list=lambda filters: [image],
            remove=lambda ident, force: self.removed.append(ident),
        )
        self.volumes = SimpleNamespace(list=lambda filters: [])
        self.networks = SimpleNamespace(
            list=lambda filters: networks if filters["label"] == "dli.instance" else []
        )


@pytest.mark.parametrize(
    ("instances", "removed"),
    [([], ["sha256:1"]), (["mine"], ["sha256:1"]), (["mine", "second"], []), (["second"], [])],
)
def test_images_go_with_the_last_instance(
    instances: list[str], removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another platform of this machine, running or down, could start no lab without them."""
    monkeypatch.setattr(down, "_detach_homes", lambda *_words: None)
    monkeypatch.setattr(down, "_open_firewall", lambda *_words: None)
    docker = Docker(instances)
    told: list[str] = []
    down._purge_docker(Settings(instance="mine"), cast(Any, docker), told.append, images=True)
    assert docker.removed == removed
    assert any("lab-cpu" in line for line in told)
    assert ("second" in instances) == any("second" in line for line in told)
