"""The GPU inventory: simulated from a line of text, real through a stand-in NVML library."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Settings
from core.units import WHOLE
from labs import inventory, simulated
from tests.fakes import nvml


def test_mig_slices_of_a_simulated_h100() -> None:
    slots = simulated.parse("2x NVIDIA H100 80GB, MIG 7", "host-1", seats=4)
    assert len(slots) == 14
    assert len({slot.id for slot in slots}) == 14
    assert len({slot.gpu for slot in slots}) == 2
    first = slots[0]
    assert (first.kind, first.weight, first.memory_mb) == ("mig", WHOLE // 7, 10240)
    assert (first.profile, first.model) == ("1g.10gb", "NVIDIA H100 80GB")
    assert first.device == first.id
    assert first.id.startswith("MIG-sim-")
    assert first.gpu.startswith("GPU-sim-")
    assert all(slot.simulated and slot.healthy and slot.host == "host-1" for slot in slots)


@pytest.mark.parametrize(
    ("slices", "weight", "profile"),
    [(7, 120, "1g.10gb"), (3, 240, "2g.20gb"), (2, 360, "3g.40gb"), (1, 840, "7g.80gb")],
)
def test_mig_shapes(slices: int, weight: int, profile: str) -> None:
    slots = simulated.parse(f"1x NVIDIA H100 80GB, MIG {slices} each", "host-1", 1)
    assert [(s.weight, s.profile) for s in slots] == [(weight, profile)] * slices


def test_whole_gpus_and_seats() -> None:
    whole = simulated.parse("1x NVIDIA L4 24GB; 1x NVIDIA H100 80GB", "host-1", seats=1)
    assert [(s.kind, s.weight, s.memory_mb) for s in whole] == [
        ("whole", WHOLE, 24576),
        ("whole", WHOLE, 81920),
    ]
    seats = simulated.parse("1x NVIDIA L4 24GB", "host-1", seats=4)
    assert [s.id for s in seats] == [f"{seats[0].gpu}#{n}" for n in range(4)]
    assert {(s.kind, s.weight, s.memory_mb, s.device) for s in seats} == {
        ("seat", 210, 6144, seats[0].gpu)
    }


def test_a_restart_finds_the_same_slots_and_another_host_has_others() -> None:
    text = "2x NVIDIA H100 80GB, MIG 7"
    assert simulated.parse(text, "a", 1) == simulated.parse(text, "a", 1)
    ids = {s.id for s in simulated.parse(text, "a", 1)}
    assert not ids & {s.id for s in simulated.parse(text, "b", 1)}


@pytest.mark.parametrize(
    "text",
    ["", "2 NVIDIA H100 80GB", "0x NVIDIA H100 80GB", "2x NVIDIA H100", "H100",
     "2x NVIDIA H100 80GB, MIG", "2x NVIDIA H100 80GB MIG 7", "2x NVIDIA H100 80GB, MIG 5",
     "2x NVIDIA H100 80GB;", "999x NVIDIA H100 80GB", "2x  80GB"],
)  # fmt: skip
def test_a_wrong_text_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(simulated.SimulationError, match="for example '2x NVIDIA H100 80GB, MIG 7'"):
        simulated.parse(text, "host-1", 1)


def test_without_nvml_the_setting_decides() -> None:
    assert inventory.read_nvml("host-1", 1) is None, "this test needs a machine without NVML"
    assert inventory.read(Settings(), "host-1") == []
    slots = inventory.read(Settings(gpus={"simulated": simulated.EXAMPLE}), "host-1")
    assert len(slots) == 14


# -- through NVML ----------------------------------------------------------------------------------

H100 = "gpu|GPU-{0}aaa|NVIDIA H100 80GB HBM3|81559|{1}\n"
SLICE = "mig|MIG-{0}|NVIDIA H100 80GB HBM3 MIG 1g.10gb|9856|1\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


def test_whole_gpus(library: Path) -> None:
    slots = nvml.inventory(library, H100.format(1, "ok") + H100.format(2, "ok"))
    assert slots == [
        {
            "id": f"GPU-{n}aaa",
            "device": f"GPU-{n}aaa",
            "gpu": f"GPU-{n}aaa",
            "host": "host-1",
            "kind": "whole",
            "model": "NVIDIA H100 80GB HBM3",
            "memory_mb": 81559,
            "weight": 840,
            "profile": "",
            "healthy": True,
            "simulated": False,
        }
        for n in (1, 2)
    ]


def test_mig_slices_beside_a_whole_gpu(library: Path) -> None:
    lines = H100.format(1, "ok") + SLICE.format("x") + SLICE.format("y") + H100.format(2, "ok")
    slots = nvml.inventory(library, lines)
    assert [(s["id"], s["gpu"], s["kind"], s["weight"]) for s in slots] == [
        ("MIG-x", "GPU-1aaa", "mig", 120),
        ("MIG-y", "GPU-1aaa", "mig", 120),
        ("GPU-2aaa", "GPU-2aaa", "whole", 840),
    ]
    assert (slots[0]["profile"], slots[0]["memory_mb"]) == ("1g.10gb", 9856)


def test_larger_slices_weigh_more(library: Path) -> None:
    lines = H100.format(1, "ok") + "mig|MIG-big|H100 slice|40448|3\n"
    (slot,) = nvml.inventory(library, lines)
    assert (slot["weight"], slot["profile"]) == (360, "3g.40gb")


def test_seats_of_a_real_gpu_share_its_device(library: Path) -> None:
    slots = nvml.inventory(library, "gpu|GPU-4|NVIDIA L4|23034|ok\n", seats=3)
    assert [s["id"] for s in slots] == ["GPU-4#0", "GPU-4#1", "GPU-4#2"]
    assert {(s["device"], s["weight"], s["healthy"]) for s in slots} == {("GPU-4", 280, True)}


def test_faults_are_seen_and_unsupported_is_not_a_fault(library: Path) -> None:
    lines = (
        H100.format(1, "rows")
        + H100.format(2, "mute")
        + H100.format(3, "lost")
        + "gpu|GPU-4|NVIDIA L4|23034|ok\n"  # answers NotSupported to MIG and row questions
    )
    slots = nvml.inventory(library, lines)
    assert [(s["id"], s["healthy"]) for s in slots] == [
        ("GPU-1aaa", False),
        ("GPU-2aaa", False),
        ("GPU-4", True),
    ]


def test_real_gpus_win_over_the_simulation(library: Path) -> None:
    slots = nvml.inventory(library, H100.format(1, "ok"), simulated=simulated.EXAMPLE)
    assert [s["simulated"] for s in slots] == [False]


def test_a_library_without_gpus_leaves_room_for_the_simulation(library: Path) -> None:
    assert len(nvml.inventory(library, "", simulated=simulated.EXAMPLE)) == 14


def test_a_broken_driver_is_an_error_and_never_a_simulation(library: Path) -> None:
    answer = nvml.inventory(library, "broken\n", simulated=simulated.EXAMPLE)
    assert answer.startswith("InventoryError: NVML does not start: ")
    assert "nvidia-smi" in answer


def test_a_models_factor_is_in_its_slots_weight() -> None:
    gpus = {
        "simulated": "1x NVIDIA H100 80GB, MIG 7; 1x NVIDIA L4 24GB; 1x NVIDIA L40S 48GB",
        "factors": {"NVIDIA H100": "2", "NVIDIA L4": "1/4", "NVIDIA L40S": "3/11"},
    }
    weights = {slot.model: slot.weight for slot in inventory.read(Settings(gpus=gpus), "h")}
    assert weights == {
        "NVIDIA H100 80GB": 2 * WHOLE // 7,
        "NVIDIA L4 24GB": WHOLE // 4,
        "NVIDIA L40S 48GB": 230,  # 229.09: whole numbers only, and the longest name counts
    }


@pytest.mark.parametrize("factor", ["0", "-1", "1/0", "0.5", "100", "1e3", "a", "1/2/3", ""])
def test_a_factor_that_cannot_be_is_refused(factor: str) -> None:
    with pytest.raises(ValueError, match=r"gpus\.factors"):
        Settings(gpus={"factors": {"NVIDIA L4": factor}})
