"""The simulated week: the same each time, every wish is served or refused, budgets hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks import _week, cohorts

ASKED = [visit for visit in _week.visits(7) if visit.at < _week.DAY]


@pytest.mark.parametrize("policy", [cohorts.EXCLUSIVE, cohorts.QUOTA, cohorts.WHOLE, cohorts.MIG])
def test_every_wish_is_served_or_refused(policy: _week.Policy) -> None:
    week = _week.play(policy, 8, ASKED, 1.0)
    assert week.served + week.refused == sum(week.wanted.values())
    assert week.used <= week.held <= 8 * 24 * 3
    assert 0 < week.jain <= 1
    if policy.cap == "held":
        assert week.overrun == 0
    if policy.cap == "launch":
        assert week.overrun > 0


def test_the_arrivals_are_the_same_each_time_and_of_300_learners() -> None:
    asked = _week.visits(1)
    assert asked == _week.visits(1)
    assert len({(visit.cohort, visit.learner) for visit in asked}) == 300


def test_the_chart_is_an_svg() -> None:
    weeks = {
        (policy.name, gpus): _week.Week(served=gpus)
        for gpus in cohorts.SIZES
        for policy in (cohorts.EXCLUSIVE, cohorts.QUOTA, cohorts.WHOLE, cohorts.MIG)
    }
    assert ElementTree.fromstring(cohorts.svg(weeks)).tag.endswith("svg")
