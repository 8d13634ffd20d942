"""A whole event joins by code and asks for a lab within two minutes: errors, waiting, fairness.

    ./dli bench join [--n 300]

`n` people of two cohorts (two thirds, one third) come evenly over `SECONDS` to the real proxy, Hub,
usage and grader service; only containers are stood in for (`_join_hub`). Each opens the invitation,
signs up with consent, loads the course page with its files and parts, and presses Start with GPU.
There are `GPUS` places: the others wait on their home, which is live, and start when it is their
turn; a lab is used for `HOLD_S` seconds. Bcrypt is not weakened.

`p95_s` is over all pages, from the request to the last byte of the page after its redirects. The
queue is fair when within a cohort nobody got a lab who had asked more than `SLACK_S` seconds after
somebody who still waited; `unfair` counts such pairs.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

from benchmarks._join_people import Told, Visitor
from benchmarks._join_site import COHORTS, Site, site

SECONDS = 115.0
GPUS = 56
HOLD_S = 12.0
SLACK_S = 3.0


def main(
    say: Callable[[str], None], n: int = 300, seconds: float = SECONDS
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run it; rows by kind of page, and figures."""
    with site(GPUS, seats=n) as running:
        say(f"{n} people within {seconds:g} s")
        before, began = running.cpu_seconds(), time.monotonic()
        told, people = Told(), _people(n)
        asyncio.run(_all(running, told, people, seconds))
        took = time.monotonic() - began
        spent = running.cpu_seconds()
        if told.errors:
            say("\n".join(told.errors[:5]))
            print(running.logs())
    for name, seconds_of in spent.items():
        say(f"{name}: {seconds_of - before[name]:.1f} s of CPU")
    joined = max(told.asked.values(), default=began) - began
    figures = {
        "people": n,
        "seconds": round(joined, 1),
        "p95_s": round(p95([took for _what, took in told.pages]), 3),
        "errors": len(told.errors),
        "asked": len(told.asked),
        "started": len(told.started),
        "unfair": unfair(told, people),
        "whole_run_s": round(took, 1),
    }
    return rows(told), figures


def rows(told: Told) -> list[dict[str, Any]]:
    """Waiting by kind of page."""
    kinds: dict[str, list[float]] = {}
    for what, took in told.pages:
        kinds.setdefault(what, []).append(took)
    return [
        {
            "page": what,
            "count": len(times),
            "p50 s": statistics.median(times),
            "p95 s": p95(times),
            "max s": max(times),
        }
        for what, times in kinds.items()
    ]


def p95(times: list[float]) -> float:
    """The time that 95 of 100 stay within."""
    return sorted(times)[math.ceil(len(times) * 0.95) - 1] if times else 0.0


def unfair(told: Told, people: dict[str, str], slack: float = SLACK_S) -> int:
    """Pairs of one cohort in which the later got a lab before the earlier, who still waited."""
    never = math.inf
    found = 0
    for one, other in combinations(told.asked, 2):
        if people[one] != people[other]:
            continue
        first, second = sorted((one, other), key=told.asked.__getitem__)
        late = told.asked[second] - told.asked[first] > slack
        got_first, got_second = (told.started.get(who, never) for who in (first, second))
        found += late and got_second < got_first - slack
    return found


def _people(n: int) -> dict[str, str]:
    """Names with their cohorts."""
    cohorts = list(COHORTS)
    return {f"p{number:04d}": cohorts[number % 3 == 2] for number in range(n)}


async def _all(running: Site, told: Told, people: dict[str, str], seconds: float) -> None:
    random.seed(7)
    last = time.monotonic() + seconds + 5
    visits = []
    for place, (name, cohort) in enumerate(people.items()):
        visitor = Visitor(running.url, name, COHORTS[cohort], told, last, HOLD_S)
        after = (place + random.random()) * (seconds - 10) / len(people)
        visits.append(visitor.come(after))
    await asyncio.gather(*visits)
