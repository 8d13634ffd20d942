"""Does everybody in a lab see each warning when it is due? Over real labs, as JupyterLab asks.

    ./dli bench warnings [--n 20]

The real proxy, Hub, usage service, agent and `n` labs in containers of the real image, each with a
(simulated) GPU slice. In every lab somebody asks what JupyterLab's page asks, at the lab's own
server, and so through everything a warning has to pass. A warning's time is told by the container:
the age of its first process by the boot clock, against its limit. `delivered` counts the warnings
that arrived within `WITHIN_S` seconds of their time; `labs` those labs that got all of theirs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from core.clock import boot_ms
from labs.held import started_ms
from tests.hub.stack import Stack, running_stack
from tests.platform import wait_for

WITHIN_S = 2.0
LAB_MAX_MINUTES = 10
AFTER_S = (180.0, 210.0)
"""So long after a lab's start its warnings are due: by then everybody is in."""

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Seen:
    """One warning in one lab. `late_s`: after its time, negative before; None: it did not come."""

    person: str
    due_after_s: float
    late_s: float | None

    @property
    def delivered(self) -> bool:
        """In time."""
        return self.late_s is not None and abs(self.late_s) <= WITHIN_S


def main(say: Callable[[str], None], n: int = 20) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run it; a row for each warning time, and figures."""
    with running_stack(**settings_for(n, LAB_MAX_MINUTES, AFTER_S)) as stack:
        seen = watch(stack, [f"learner{i:02d}" for i in range(n)], AFTER_S, say)
    rows = []
    for after in AFTER_S:
        here = [one for one in seen if one.due_after_s == after]
        late = [one.late_s for one in here if one.late_s is not None]
        rows.append(
            {
                "warning after s": after,
                "labs": len(here),
                "in time": sum(one.delivered for one in here),
                "median late s": statistics.median(late) if late else "–",
                "worst late s": max(late, key=abs) if late else "–",
            }
        )
    missed = {one.person for one in seen if not one.delivered}
    late = [one.late_s for one in seen if one.late_s is not None]
    figures = {
        "warnings": len(seen),
        "delivered": sum(one.delivered for one in seen),
        "labs": n - len(missed),
        "of": n,
        "worst_late_s": round(max(map(abs, late), default=0.0), 2),
    }
    return rows, figures


def settings_for(n: int, lab_max: int, after: tuple[float, ...]) -> dict[str, Any]:
    """Settings of a platform on which `n` GPU labs are warned `after` so many seconds."""
    warn = [lab_max - seconds / 60 for seconds in after]
    return {
        "usage": {"lab_max_minutes": lab_max, "warn_minutes": warn, "heartbeat_seconds": 10},
        "gpus": {"simulated": f"{-(-n // 7)}x NVIDIA H100 80GB, MIG 7"},
        "labs": {"start_seconds": 300},
    }


def watch(
    stack: Stack,
    people: list[str],
    after: tuple[float, ...],
    say: Callable[[str], None],
) -> list[Seen]:
    """Start everybody's lab and look at its warnings until the last one is due."""
    for name in people:
        stack.add_person(name)

    def one(name: str) -> list[Seen]:
        return _one(stack, name, after, say)

    with ThreadPoolExecutor(len(people)) as pool:
        return [seen for found in pool.map(one, people) for seen in found]


def _one(
    stack: Stack,
    name: str,
    after: tuple[float, ...],
    say: Callable[[str], None],
) -> list[Seen]:
    visitor = stack.visitor()
    visitor.http.timeout = httpx.Timeout(180)  # everybody at once, perhaps on a busy machine
    visitor.sign_in(name, stack.passwords[name])
    stack.ask(name, "optional", "yes").raise_for_status()
    wait_for(f"{name}'s lab", lambda: stack.server(name).get("ready"), 300, 2)
    visitor.lab_ready(name, 180)
    begun = started_ms(stack.container(name).attrs["State"]["Pid"])
    assert begun is not None
    say(f"{name} is in, {(boot_ms() - begun) / 1000:.0f} s after the start")
    seen = _listen(visitor, name, begun, len(after), begun + 1000 * (max(after) + PATIENCE_S))
    visitor.http.close()
    say(f"{name} was warned {', '.join(f'{at:.1f}' for at in seen)} s after the start")
    return [
        Seen(name, due, seen[place] - due if place < len(seen) else None)
        for place, due in enumerate(sorted(after))
    ]


def _listen(visitor: Any, name: str, begun: int, wanted: int, until_ms: float) -> list[float]:
    """Seconds after the container's start at which each new warning was there, in their order."""
    known = ""
    found: dict[str, float] = {}
    while len(found) < wanted and boot_ms() < until_ms:
        query = {"lang": "ko", **({"known": known} if known else {})}
        try:
            answer = visitor.lab(name, "dli-lab/status", params=query, timeout=60)
            answer.raise_for_status()
        except httpx.HTTPError:
            time.sleep(3)  # as the page does
            continue
        status = answer.json()
        known = status["mark"]
        for warning in status["warnings"]:
            found.setdefault(warning["id"], (boot_ms() - begun) / 1000)
        time.sleep(0.3)
    return sorted(found.values())
