"""A synthetic week of 60 cohorts and 300 learners on 8, 16 and 32 GPUs, by three policies.

Ours: the queue and the placement of the usage service itself (`usage.queue`, `usage.placement`),
whole GPUs or cut in seven, idle labs stopped after 30 minutes, budgets that hold. Baselines in the
same run, on the same arrivals (`benchmarks._week` states the model): *exclusive*, a whole GPU for
each session in order of arrival, held until it is closed; *launch quota*, the same with a budget
that is looked at only when a lab starts.

`learners_per_gpu_hour_ratio`: sessions served per GPU-hour of the machines, ours (MIG) divided by
exclusive, at equal p95 waiting: for each size of the baseline the smallest number of GPUs is taken
with which ours waits no longer; the worst of the three sizes. Most of it comes from the slices: the
model lets work take as long on a seventh as on a whole GPU, which holds for labs whose GPU part is
short. `same_gpus_whole_ratio` is without slices: sessions served on the same number of whole GPUs.
`jain` is the worst of those crowded weeks of equal waiting, `wait_p95_min` the worst of 8, 16, 32.
``BENCH_CHART`` names the SVG file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._week import HOUR, Policy, Visit, Week, play, visits

SIZES = (8, 16, 32)
WEEK_HOURS = 7 * 24
BUDGET_HOURS = 40.0
IDLE = 30 * 60

EXCLUSIVE = Policy("exclusive per session", False, False, None, "none")
QUOTA = Policy("quota at launch only", False, False, None, "launch")
WHOLE = Policy("ours, whole GPUs", False, True, IDLE, "held", 4 * HOUR)
MIG = Policy("ours, MIG 7", True, True, IDLE, "held", 4 * HOUR)

Say = Callable[[str], None]
Weeks = dict[tuple[str, int], Week]


def main(say: Say) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Play all weeks; rows for the table and the figures."""
    asked = visits(1)
    weeks: Weeks = {}
    for gpus in SIZES:
        for policy in (EXCLUSIVE, QUOTA, WHOLE, MIG):
            say(f"{gpus} GPUs, {policy.name}")
            weeks[policy.name, gpus] = play(policy, gpus, asked, BUDGET_HOURS)
    equal = {}
    for gpus in SIZES:
        say(f"as few GPUs as wait no longer than {gpus} exclusive ones")
        equal[gpus] = _equal(asked, weeks[EXCLUSIVE.name, gpus], gpus)
    chart = Path(os.environ.get("BENCH_CHART") or Path(tempfile.gettempdir()) / "dli-cohorts.svg")
    chart.write_text(svg(weeks), encoding="utf-8")
    return [_row(name, gpus, week) for (name, gpus), week in weeks.items()], figures(
        weeks, equal
    ) | {"chart": str(chart)}


def _equal(asked: list[Visit], base: Week, most: int) -> tuple[int, Week]:
    """The fewest GPUs on which ours waits no longer than `base` did on `most`, and that week."""
    low, high = 2, most
    best = play(MIG, high, asked, BUDGET_HOURS)
    while low < high:
        middle = (low + high) // 2
        week = play(MIG, middle, asked, BUDGET_HOURS)
        if week.p95_min <= base.p95_min and week.refused <= base.refused:
            high, best = middle, week
        else:
            low = middle + 1
    return high, best


def figures(weeks: Weeks, equal: dict[int, tuple[int, Week]]) -> dict[str, Any]:
    """The last line."""
    ratios = {}
    for gpus, (ours, week) in equal.items():
        base = weeks[EXCLUSIVE.name, gpus]
        ratios[gpus] = (week.served / ours) / (base.served / gpus)
    whole = [weeks[WHOLE.name, n].served / weeks[EXCLUSIVE.name, n].served for n in SIZES]
    return {
        "learners_per_gpu_hour_ratio": round(min(ratios.values()), 2),
        "same_gpus_whole_ratio": round(min(whole), 2),
        "jain": round(min(week.jain for _, week in equal.values()), 3),
        "wait_p95_min": round(max(weeks[MIG.name, n].p95_min for n in SIZES), 1),
        "equal_wait_gpus": {str(gpus): ours for gpus, (ours, _) in equal.items()},
        "exclusive_wait_p95_min": {
            str(gpus): round(weeks[EXCLUSIVE.name, gpus].p95_min, 1) for gpus in SIZES
        },
        "overrun_hours_launch_quota": round(weeks[QUOTA.name, 32].overrun, 1),
        "overrun_hours_ours": round(max(weeks[MIG.name, g].overrun for g in SIZES), 1),
    }


def _row(name: str, gpus: int, week: Week) -> dict[str, Any]:
    return {
        "policy": name,
        "GPUs": gpus,
        "served": week.served,
        "refused": week.refused,
        "p95 wait min": round(week.p95_min, 1),
        "GPU-h held": round(week.held),
        "GPU-h computed": round(week.used),
        "served per GPU-h": round(week.served / (gpus * WEEK_HOURS), 3),
        "over budget h": round(week.overrun, 1),
        "Jain": round(week.jain, 3),
    }


def svg(weeks: Weeks) -> str:
    """Bars of the labs served, by policy and number of GPUs."""
    names = list(dict.fromkeys(name for name, _ in weeks))
    colours = ("#9aa5b1", "#c0a16b", "#4c8dae", "#2f6f4f")
    most = max(week.served for week in weeks.values())
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="340" '
        'font-family="sans-serif" font-size="12" role="img">',
        "<title>Labs with a GPU served in a week</title>",
        '<rect width="720" height="340" fill="white"/>',
        '<text x="40" y="22" font-size="15">Labs with a GPU served in a week</text>',
    ]
    for group, gpus in enumerate(SIZES):
        left = 50 + group * 220
        parts.append(f'<text x="{left + 70}" y="300">{gpus} GPUs</text>')
        for index, name in enumerate(names):
            served = weeks[name, gpus].served
            high = round(220 * served / most)
            x = left + index * 46
            parts.append(
                f'<rect x="{x}" y="{280 - high}" width="40" height="{high}" '
                f'fill="{colours[index]}"/>'
                f'<text x="{x + 20}" y="{274 - high}" text-anchor="middle">{served}</text>'
            )
    for index, name in enumerate(names):
        x = 40 + index * 165
        parts.append(
            f'<rect x="{x}" y="315" width="12" height="12" fill="{colours[index]}"/>'
            f'<text x="{x + 18}" y="326">{name}</text>'
        )
    return "".join([*parts, "</svg>\n"])
