"""Prometheus metrics: all documented, and true to what happened."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.settings import ROOT
from core.wire import Observation, SeenContainer, StrayProcess
from tests.unit.usage.conftest import HOUR, World, slot
from usage import metrics
from usage.refusals import No

DOC = ROOT / "docs" / "reference" / "metrics.md"


def read(world: World) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    text = metrics.render(world.usage).decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name][tuple(sample.labels.values())] = sample.value
    return found


def busy(world: World) -> None:
    """A little of everything."""
    world.cohort(gpu=HOUR // 10)
    world.people("ann", "bob", "eve")
    world.slots(slot(1), slot(2, healthy=False), slot(3))
    world.usage.set_slot_mode("slot-3", "drained", "root")
    lease = world.running("ann")
    world.run_for(lease, 360)
    stray = StrayProcess("GPU-1", "GPU-1", 77, "miner", "", 900, "no_container")
    seen = SeenContainer(f"container-{lease.id}", lease.id, 362_000, True)
    world.usage.observe("h1", Observation("boot-1", [seen], [stray]))
    with pytest.raises(No, match="gpu_full"):
        world.reserve("bob")
    assert read(world)["dli_queue"] == {("kt", "waiting"): 1}
    world.usage.ask_for_more("ann", 30, "")
    world.usage.release(lease.id, 362_000, "stopped", False)
    world.usage.tick()
    world.time.pass_ms(4_000)
    world.usage.prestart("kt", "intro", "first", "teacher")


def test_each_metric_says_what_happened(world: World) -> None:
    busy(world)
    found = read(world)
    assert found["dli_leases"] == {("ended",): 1}
    assert found["dli_leases_ended_total"] == {("stopped",): 1}
    assert found["dli_overruns_total"] == {(): 1}
    over = 2_000 * 840
    assert found["dli_overrun_units_total"] == {("kt",): over}
    assert found["dli_charged_units_total"] == {("kt",): 362_000 * 840}
    assert found["dli_budget_units"]["kt", "overrun"] == over
    assert found["dli_budget_units"]["kt", "cap"] == HOUR // 10
    assert found["dli_entries_total"]["kt", "grant"] == 1
    assert found["dli_queue"] == {}
    assert found["dli_queue_ended_total"] == {("dropped",): 1}, "no GPU time was left for bob"
    assert found["dli_gpu_slots"] == {
        ("h1", "whole", "open"): 1,
        ("h1", "whole", "faulty"): 1,
        ("h1", "whole", "drained"): 1,
    }
    assert found["dli_gpu_stray_processes"] == {("h1", "no_container"): 1}
    assert found["dli_warnings_total"][("budget",)] >= 1
    assert found["dli_warnings_delivered_total"] == {("budget",): 0}
    assert found["dli_requests"] == {("open",): 1}
    assert found["dli_prestarts"][("waiting",)] >= 2
    assert found["dli_heartbeats_total"] == {("h1",): 37}
    assert found["dli_heartbeat_age_seconds"] == {("h1",): 4}
    assert found["dli_heartbeat_labs"] == {("h1",): 1}
    assert found["dli_held_seconds"] == {(): 0}


def test_every_metric_is_documented(world: World) -> None:
    busy(world)
    told = set(re.findall(r"^\| `(dli_\w+)`", DOC.read_text(encoding="utf-8"), re.MULTILINE))
    text = metrics.render(world.usage).decode()
    known = set()
    for family in text_string_to_metric_families(text):
        known.add(family.name + ("_total" if family.type == "counter" else ""))
    assert told == known


def test_a_hubs_free_text_makes_no_series_of_its_own(world: World) -> None:
    world.cohort()
    world.people("ann")
    world.slots(slot(1))
    lease = world.reserve("ann")
    world.usage.release(lease.id, 0, "Error 500: no such image abc123", True)
    assert read(world)["dli_leases_ended_total"] == {("other",): 1}
