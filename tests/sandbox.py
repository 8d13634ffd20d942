"""The real sandbox image, brought up to date, for tests that run learners' code."""

from __future__ import annotations

from typing import Any

import docker

from cli import images
from core.settings import Settings
from grader.zygote.sandbox import ZygoteSandbox


def sandbox(settings: Settings) -> ZygoteSandbox:
    """A sandbox on its image, built when there is none; to be closed."""
    client = docker.from_env()
    if not client.images.list(images.SANDBOX.tag):
        for image in (images.PYTHON_CPU, images.SANDBOX):
            images.build(image, settings, client, print)
    client.close()
    return ZygoteSandbox(settings)


def leftovers(settings: Settings) -> list[Any]:
    """Containers of this instance that are still there."""
    client = docker.from_env()
    label = f"dli.instance={settings.instance}"
    return list(client.containers.list(all=True, filters={"label": label}))
