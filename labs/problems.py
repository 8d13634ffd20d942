"""Whatever stopped a start, as one sentence for the person who waits for their lab.

Docker's own words (paths, ids, host names) go to the log, never to a page.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

import requests
from docker.errors import APIError, DockerException, ImageNotFound

from core.course import Lab
from core.i18n import N_
from labs.order import OrderError
from labs.text import say
from usage.client import Refused, UsageUnavailable

USAGE_DOWN = N_(
    "The GPU-time service does not answer at the moment, so no GPU lab can start. "
    "Labs without a GPU do start: please start this lab without a GPU, or try again later."
)
USAGE_DOWN_GPU_ONLY = N_(
    "The GPU-time service does not answer at the moment, so no GPU lab can start. "
    "Please try again in a few minutes."
)
TOO_SLOW = N_(
    "The lab did not become ready within {seconds} seconds. Nothing was charged. "
    "Please try again; if it happens again, tell your instructor."
)

DOCKER_DOWN = N_(
    "The machine that runs the labs does not answer at the moment. Nothing was charged. "
    "Please try again in a few minutes; if it stays like this, tell your instructor."
)
DISK_FULL = N_(
    "The disk of the machine that runs the labs is full, so no lab can start. "
    "Nothing was charged. Please tell your instructor."
)
NO_IMAGE = N_(
    "The software image of this course is not installed on this machine. Nothing was charged. "
    "Please tell your instructor; an administrator can build it with ./dli up."
)
NO_DEVICE = N_(
    "The GPU that was chosen for you could not be used. Nothing was charged. "
    "Please try again, or start this lab without a GPU."
)
NO_MATERIAL = N_(
    "The material of this course is not prepared on this machine. Nothing was charged. "
    "Please tell your instructor; an administrator can prepare it with ./dli up."
)
NO_NETWORK = N_(
    "The labs' private network is missing on this machine. Nothing was charged. "
    "Please tell your instructor; an administrator can make it with ./dli up."
)
NO_ADDRESS = N_(
    "No further lab fits on this machine at the moment. Nothing was charged. "
    "Please try again when others have stopped theirs; if it stays like this, tell your instructor."
)
START_FAILED = N_(
    "The lab did not start because of a fault of the platform. Nothing was charged. "
    "Please try again; if it happens again, tell your instructor."
)

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL = re.compile("no space left on device|disk quota exceeded|disk is full")
_BY_WORDS = (
    (_DISK_FULL, "disk-full", DISK_FULL),
    (
        re.compile("could not select device driver|unknown device|nvidia-container|device error"),
        "gpu",
        NO_DEVICE,
    ),
    (re.compile("no such image|invalid reference format"), "image", NO_IMAGE),
    (re.compile("bind source path does not exist"), "material", NO_MATERIAL),
    (re.compile("no available (ipv4 )?addresses"), "addresses", NO_ADDRESS),
    (re.compile("network .*not found"), "network", NO_NETWORK),
)
"""What the engine's words (releases 20.10 to 29, lower case) mean; the first that fits."""


@dataclass(frozen=True)
class Problem:
    """Why a lab did not start. `reason` is a short word for metrics, `status` of HTTP."""

    text: str
    reason: str
    status: int


def no_usage(language: str, lab: Lab) -> Problem:
    """The usage service does not answer. Advises a start without GPU where the lab allows it."""
    sentence = USAGE_DOWN_GPU_ONLY if lab.gpu.need == "required" else USAGE_DOWN
    return Problem(say(sentence, language), "usage-down", 503)


def of(error: Exception, language: str, start_seconds: int) -> Problem:
    """The problem that any failure of a start is, in `language`."""
    if isinstance(error, OrderError):
        return Problem(str(error), "options", 400)
    if isinstance(error, Refused):
        return Problem(error.refusal.message, error.refusal.code, 409)
    if isinstance(error, UsageUnavailable):
        return Problem(say(USAGE_DOWN, language), "usage-down", 503)
    if isinstance(error, TimeoutError):
        return Problem(say(TOO_SLOW, language, seconds=start_seconds), "timeout", 504)
    reason, sentence = docker_said(error)
    return Problem(say(sentence, language), reason, 503)


def docker_said(error: Exception) -> tuple[str, str]:
    """A short reason and the English sentence for a failure of Docker, or of anything else."""
    if isinstance(error, ImageNotFound):
        return "image", NO_IMAGE
    if isinstance(error, APIError):
        words = str(error.explanation or error).lower()
        for pattern, reason, sentence in _BY_WORDS:
            if pattern.search(words):
                return reason, sentence
        return "docker", START_FAILED
    if getattr(error, "errno", None) in _DISK_ERRORS or _DISK_FULL.search(str(error).lower()):
        return "disk-full", DISK_FULL  # our own files and the Hub's database lie there too
    if isinstance(error, DockerException | requests.RequestException | OSError):
        return "docker-down", DOCKER_DOWN
    return "start", START_FAILED
