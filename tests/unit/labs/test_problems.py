"""Every failure of a start becomes one sentence, without Docker's own words."""

from __future__ import annotations

import re
import sqlite3

import docker.errors
import pytest
import requests

from core.wire import Refusal
from labs import problems
from tests.unit.labs.things import lab
from usage.client import Refused, UsageUnavailable


def api_error(words: str, status: int = 500) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("failed", response=response, explanation=words)


@pytest.mark.parametrize(
    ("error", "reason", "part"),
    [
        # The engine's own words, 20.10 and 28.
        (
            api_error("write /var/lib/docker/overlay2/fd-init/link: no space left on device"),
            "disk-full",
            "full",
        ),
        (OSError(28, "No space left on device", "/var/lib/x"), "disk-full", "full"),
        (sqlite3.OperationalError("database or disk is full"), "disk-full", "full"),
        (docker.errors.ImageNotFound("No such image: dli/lab-cpu"), "image", "not installed"),
        (api_error("no such image: a:1: No such image: a:1", 404), "image", "not installed"),
        (
            api_error("invalid reference format: repository name must be lowercase", 400),
            "image",
            "not installed",
        ),
        (api_error('could not select device driver "" with capabilities: [[gpu]]'), "gpu", "GPU"),
        (
            api_error(
                "failed to create shim task: OCI runtime create failed: runc create failed: unable "
                "to start container process: error during container init: error running hook #0: "
                "error running hook: exit status 1, stdout: , stderr: nvidia-container-cli: "
                "device error: GPU-9: unknown device: unknown"
            ),
            "gpu",
            "GPU",
        ),
        (
            api_error(
                'invalid mount config for type "bind": bind source path does not exist: /x', 400
            ),
            "material",
            "material",
        ),
        (api_error("network t-labs not found", 404), "network", "private network"),
        (
            api_error("failed to set up container networking: network t-labs not found", 404),
            "network",
            "private network",
        ),
        (
            api_error("no available IPv4 addresses on this network's address pools: t-labs (3f)"),
            "addresses",
            "No further lab fits",
        ),
        (
            api_error(
                "driver failed programming external connectivity on endpoint t-lab-kim (ab): "
                "Bind for 0.0.0.0:8888 failed: port is already allocated"
            ),
            "docker",
            "fault of the platform",
        ),
        (api_error("something else"), "docker", "fault of the platform"),
        (docker.errors.DockerException("Connection refused"), "docker-down", "does not answer"),
        (requests.ConnectionError("refused"), "docker-down", "does not answer"),
        (requests.Timeout("slow"), "docker-down", "does not answer"),
        (KeyError("x"), "start", "fault of the platform"),
        (TimeoutError(), "timeout", "within 120 seconds"),
        (UsageUnavailable("down"), "usage-down", "without a GPU"),
        (Refused(Refusal("budget_used", "No time left.")), "budget_used", "No time left."),
    ],
)
def test_one_sentence_for_each(error: Exception, reason: str, part: str) -> None:
    problem = problems.of(error, "en", 120)
    assert problem.reason == reason
    assert part in problem.text
    for word in ("/var/lib", "OCI", "0.0.0.0", "t-labs", "GPU-9"):
        assert word not in problem.text, "the engine's words are for the log"
    assert problem.text.endswith(".")
    korean = problems.of(error, "ko", 120).text
    if not isinstance(error, Refused):  # the usage service has spoken the reader's language
        assert re.search("[가-힣]", korean)


def test_advice_depends_on_the_lab() -> None:
    assert "without a GPU" in problems.no_usage("en", lab("optional")).text
    assert "start this lab without" not in problems.no_usage("en", lab("required")).text
    assert "GPU 없이" in problems.no_usage("ko", lab("optional")).text
