"""GPU time for grading: a lease on the course's own account, held while a class is graded.

The account is that of the cohort ``grading-<course>``, which an admin makes and gives GPU time; so
grading never uses up what learners have. Without an account, time or a free GPU the jobs wait and
say why.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from core import secrets
from core.course import Assignment
from core.i18n import N_
from core.settings import Settings
from core.wire import GpuNeed, Lease, ReserveRequest
from grader.explained import Explained
from grader.runner import Sandbox
from grader.zygote.sandbox import ZygoteSandbox
from usage.client import Refused, UsageClient, UsageUnavailable

ACCOUNT = "grading-{course}"
"""Id of the cohort that pays, by course."""


class MustWait(Explained):
    """There is no GPU for grading now: the reason, for the instructor."""


_USED_UP = N_(
    "The GPU time for grading is used up for now. An administrator can add some to the cohort "
    "%(account)s, or raise its limits."
)
_BUSY = N_("All GPUs that can grade this are busy. It is graded as soon as one is free.")
_UNFIT = N_("No GPU that can grade this is connected.")
_NO_ACCOUNT = N_(
    "Grading needs GPU time of its own. An administrator makes an open cohort with the id "
    "%(account)s, with this course in it, and gives it GPU time."
)
_WAITS = {
    "budget_used": _USED_UP,
    "learner_cap_used": _USED_UP,
    "daily_cap_used": _USED_UP,
    "cohort_busy": _BUSY,
    "gpu_full": _BUSY,
    "gpu_none": _UNFIT,
    "gpu_unfit": _UNFIT,
    "cohort_unknown": _NO_ACCOUNT,
    "course_not_offered": _NO_ACCOUNT,
    "cohort_not_started": _NO_ACCOUNT,
    "cohort_ended": _NO_ACCOUNT,
}
"""By the code of usage's refusal, whose own sentences are for learners."""


class Leases(Protocol):
    """The part of `usage.client.UsageClient` that grading needs."""

    def reserve(self, request: ReserveRequest) -> Lease:
        """Raises Refused, UsageUnavailable."""

    def activate(self, lease_id: str, container_id: str) -> Lease:
        """Raises Refused, UsageUnavailable."""

    def release(
        self, lease_id: str, held_ms: int | None, reason: str, platform_fault: bool = False
    ) -> None:
        """Raises Refused, UsageUnavailable."""


class GpuSandbox(Sandbox, Protocol):
    """A sandbox on leased GPUs."""

    def start(self, packages: list[str]) -> str:
        """Start its container; the container's id. Raises SandboxError."""

    def close(self) -> None:
        """End its container."""


@dataclass
class GpuGrading:
    """Gives sandboxes on leased GPUs. `usage` and `sandbox` are what tests put their own in for."""

    settings: Settings
    usage: Leases | None = None
    sandbox: Callable[[Lease], GpuSandbox] | None = None

    @contextlib.contextmanager
    def leased(
        self, course: str, assignment: Assignment, packages: list[str], job: str
    ) -> Iterator[Sandbox]:
        """A sandbox whose container holds a lease until the end. `job` makes a retry harmless.

        Raises MustWait, SandboxError.
        """
        usage = self._usage()
        lease = self._reserve(usage, course, assignment, job)
        began: float | None = None
        sandbox = self.sandbox(lease) if self.sandbox else ZygoteSandbox(self.settings, 1, lease)
        try:
            began = time.monotonic()
            container = sandbox.start(packages)
            _activate(usage, lease, container)
            yield sandbox
        except BaseException:
            sandbox.close()
            _release(usage, lease, began, "grading failed")
            raise
        sandbox.close()
        _release(usage, lease, began, "graded")

    def _usage(self) -> Leases:
        if self.usage is None:
            url = f"http://127.0.0.1:{self.settings.ports.usage}/services/usage"
            self.usage = UsageClient(url, secrets.load(self.settings.state_dir, "key-worker"))
        return self.usage

    def _reserve(self, usage: Leases, course: str, assignment: Assignment, job: str) -> Lease:
        assert assignment.gpu is not None
        need = GpuNeed(assignment.gpu.isolation, assignment.gpu.memory_mb, assignment.gpu.count)
        ask = ReserveRequest(
            spawn_id=f"{job}-{time.time_ns()}",
            username=f"grading:{course}",
            cohort=ACCOUNT.format(course=course),
            course=course,
            lab=assignment.id,
            need=need,
            language=self.settings.site.language,
            holder="grading",
        )
        try:
            return usage.reserve(ask)
        except Refused as no:
            raise _refused(no, ask.cohort) from None
        except UsageUnavailable as error:
            raise _silent(error) from None


def _activate(usage: Leases, lease: Lease, container: str) -> None:
    try:
        usage.activate(lease.id, container)
    except Refused as no:
        raise _refused(no, lease.cohort) from None
    except UsageUnavailable as error:
        raise _silent(error) from None


def _refused(no: Refused, account: str) -> MustWait:
    sentence = _WAITS.get(no.refusal.code)
    if sentence is None:
        return MustWait("%(said)s", said=no.refusal.message)
    return MustWait(sentence, account=account)


def _silent(error: UsageUnavailable) -> MustWait:
    text = N_("The GPU-time service does not answer; grading goes on when it does: %(detail)s")
    return MustWait(text, detail=str(error))


def _release(usage: Leases, lease: Lease, began: float | None, reason: str) -> None:
    """Lost when nobody answers: the agent then says that the container is gone."""
    held = None if began is None else int((time.monotonic() - began) * 1000)
    with contextlib.suppress(Refused, UsageUnavailable):
        usage.release(lease.id, held, reason)
