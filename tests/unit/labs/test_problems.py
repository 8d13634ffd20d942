"""Every failure of a start becomes one sentence, without Docker's own words."""

from __future__ import annotations

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
        (api_error("write /var/lib/docker/x: no space left on device"), "disk-full", "full"),
        (docker.errors.ImageNotFound("No such image: dli/lab-cpu"), "image", "not installed"),
        (api_error("no such image: x", 404), "image", "not installed"),
        (api_error('could not select device driver "" with capabilities: [[gpu]]'), "gpu", "GPU"),
        (api_error("OCI: nvidia-container-cli: device error: GPU-9: unknown device"), "gpu", "GPU"),
        (api_error("invalid mount config: bind source path does not exist: /x"), "material", ""),
        (api_error("network t-labs not found", 404), "network", "network"),
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
    assert "/var/lib" not in problem.text
    assert problem.text.endswith(".")


def test_advice_depends_on_the_lab() -> None:
    assert "without a GPU" in problems.no_usage("en", lab("optional")).text
    assert "start this lab without" not in problems.no_usage("en", lab("required")).text
    assert "GPU 없이" in problems.no_usage("ko", lab("optional")).text
