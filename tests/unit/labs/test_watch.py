"""When the agent asks a lab to end, when it kills it, and what it reports."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.clock import boot_ms
from core.wire import LeaseOrder
from labs.exits import Exits
from labs.held import held_ms, held_until, started_ms
from labs.watch import HANDOVER_MS, Deed, Memory, Watched, deed, next_deed_ms, report

GRACE = 5000


def at(held: int, **more: object) -> Watched:
    return Watched("c1", "lease-1", 1, 0, 60_000, held_ms=held, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("held", "order", "expected"),
    [
        (59_999, None, Deed.LEAVE),  # only the first grant is known
        (60_000, None, Deed.ASK),
        (64_999, None, Deed.ASK),
        (65_000, None, Deed.KILL),
        (99_999, LeaseOrder("lease-1", 100_000), Deed.LEAVE),  # renewed
        (100_000, LeaseOrder("lease-1", 100_000), Deed.ASK),
        (105_000, LeaseOrder("lease-1", 100_000), Deed.KILL),
        (59_000, LeaseOrder("lease-1", 50_000), Deed.KILL),  # the order counts, not the label
        (1, LeaseOrder("lease-1", 0, stop=True), Deed.ASK),
    ],
)
def test_time_over(held: int, order: LeaseOrder | None, expected: Deed) -> None:
    assert deed(at(held), order, now_ms=500_000, grace_ms=GRACE) is expected


def test_an_order_to_stop_becomes_a_kill_after_the_grace() -> None:
    order = LeaseOrder("lease-1", 0, stop=True)
    lab = at(1, over_since_ms=500_000)
    assert deed(lab, order, 504_999, GRACE) is Deed.ASK
    assert deed(lab, order, 505_000, GRACE) is Deed.KILL


def test_without_grace_time_over_is_a_kill_at_once() -> None:
    assert deed(at(60_000), None, 0, grace_ms=0) is Deed.KILL


def test_a_gpu_without_a_lease_is_killed() -> None:
    assert deed(Watched("c", "", 1, 0, 0), None, 0, GRACE) is Deed.KILL


def test_an_ended_lab_is_left_and_reported_after_the_handover() -> None:
    lab = at(7000).ended(1000)
    assert deed(lab, LeaseOrder("lease-1", 0, stop=True), 0, GRACE) is Deed.LEAVE
    assert report([lab], 1000)[0].running
    (seen,) = report([lab], 1000 + HANDOVER_MS)
    assert (seen.running, seen.held_ms, seen.lease_id) == (False, 7000, "lease-1")
    assert report([Watched("c", "", 1, 0, 0)], 0) == []


def test_held_time_never_shrinks() -> None:
    lab = Watched("c", "l", 1, started_ms=100, grant_ms=0, held_ms=500)
    assert lab.at(300).held_ms == 500
    assert lab.at(700).held_ms == 600


@pytest.mark.parametrize(
    ("now", "expected"),
    [(61_000, 61_000), (61_001, 60_000)],  # not looked at for longer than a second: not charged
)
def test_an_end_that_the_kernel_tells_is_held_to_that_moment(now: int, expected: int) -> None:
    ended = at(60_000).ended_just_now(now)
    assert (ended.held_ms, ended.running, ended.gone_since_ms) == (expected, False, now)


@pytest.mark.parametrize(
    ("lab", "order", "expected"),
    [
        (at(10_000), None, 50_000),  # the first grant's end
        (at(60_000), None, GRACE),  # then its grace's
        (at(65_000), None, None),
        (at(10_000), LeaseOrder("lease-1", 100_000), 90_000),
        (at(10_000, over_since_ms=8_000), LeaseOrder("lease-1", 0, stop=True), GRACE - 2000),
        (at(10_000).ended(10_000), None, None),
        (Watched("c", "", 1, 0, 0), None, None),
    ],
)
def test_the_agent_wakes_when_there_is_something_to_do(
    lab: Watched, order: LeaseOrder | None, expected: int | None
) -> None:
    now = 10_000 if lab.held_ms == 10_000 else lab.held_ms
    assert next_deed_ms(lab, order, now, GRACE) == expected
    if expected is not None:
        before = deed(lab.at(now), order, now, GRACE)
        assert deed(lab.at(now + expected), order, now + expected, GRACE) is not before


def test_memory_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "run" / "agent.json"
    order = LeaseOrder("lease-1", 90_000, stop=True, reason="budget")
    Memory("boot-1", {"lease-1": order}, {"c1": at(7)}).save(file)
    assert Memory.load(file, "boot-1", 0) == Memory("boot-1", {"lease-1": order}, {"c1": at(7)})


def test_labs_of_an_earlier_boot_have_ended(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    Memory("boot-1", {}, {"c1": at(7)}).save(file)
    assert Memory.load(file, "boot-2", 55).labs == {"c1": at(7).ended(55)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"orders": 1}', '{"boot_id": 1, "orders": [{}]}'])
def test_an_unreadable_memory_is_an_empty_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "agent.json"
    file.write_text(text)
    assert Memory.load(file, "boot-1", 0) == Memory("boot-1", {}, {})


def test_held_time_of_a_real_process() -> None:
    before = boot_ms()
    with subprocess.Popen(["sleep", "30"]) as process:
        started = started_ms(process.pid)
        assert started is not None
        assert before - 20 <= started <= boot_ms()
        time.sleep(0.3)
        held = held_ms(process.pid)
        assert held is not None
        assert 290 <= held <= 290 + (boot_ms() - before)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert started_ms(process.pid) is None, "a zombie holds nothing"
    assert held_ms(process.pid) is None


def test_a_process_name_with_parentheses(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(["S", *["0"] * 18, "250", "0"])
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c)) {fields}")
    assert started_ms(7, tmp_path) == 250 * 1000 // os.sysconf("SC_CLK_TCK")


def test_the_end_of_a_process_is_told_at_once_and_once() -> None:
    exits = Exits()
    try:
        with subprocess.Popen(["sleep", "30"]) as process:
            started = started_ms(process.pid)
            assert started is not None
            assert not exits.watch("other", process.pid, started - 10), "another process's number"
            assert exits.watch("lab", process.pid, started)
            assert exits.wait(0.01) == []
            assert exits.watches("lab")
            process.kill()
            assert exits.wait(60) == ["lab"], "not the end of the wait, which tells of none"
            assert not exits.watches("lab")
            assert exits.wait(0) == []
        assert not exits.watch("lab", process.pid, started), "gone"
    finally:
        exits.close()


@pytest.mark.parametrize(
    ("finished", "held"),
    [
        ("2026-11-22T12:00:09.5Z", 7500),  # half a second before the answer
        ("2026-11-22T12:00:09.470539917Z", 7470),
        ("2026-11-22T12:00:10Z", 8000),
        ("2026-11-22T11:00:10Z", 6000),  # the clock was set an hour on: no earlier than seen
        ("2026-11-22T13:00:10Z", 8000),  # an hour back: no later than now
        ("0001-01-01T00:00:00Z", 6000),
        ("", 8000),
    ],
)
def test_a_slow_answer_of_docker_is_not_charged(finished: str, held: int) -> None:
    now = datetime(2026, 11, 22, 12, 0, 10, tzinfo=UTC)
    assert held_until(1000, 7000, 9000, finished, now) == held
