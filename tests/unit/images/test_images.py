"""Which images are built when, what decides it, and which wheels they get."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from cli import image_parts, images
from core.settings import ROOT

OURS = {images.LAB_CPU.tag, images.LAB_GPU.tag, images.SANDBOX.tag}


def tags(named: set[str], gpu: bool) -> list[str]:
    return [image.tag for image in images.wanted(named, gpu)]


def test_parents_are_built_first_and_gpu_only_with_a_gpu() -> None:
    assert tags(OURS, gpu=False) == [
        "dli/python-cpu:latest",
        "dli/lab-cpu:latest",
        "dli/sandbox:latest",
    ]
    assert tags(OURS, gpu=True)[-2:] == ["dli/python-gpu:latest", "dli/lab-gpu:latest"]


def test_an_image_that_the_operator_names_is_not_built() -> None:
    assert tags({"theirs/lab:1", images.SANDBOX.tag}, gpu=True) == [
        "dli/python-cpu:latest",
        "dli/sandbox:latest",
    ]


def test_every_file_and_mode_and_the_parent_decide(tmp_path: Path) -> None:
    file = tmp_path / "start"
    file.write_text("one")
    first = images._digest(images.LAB_CPU, {"start": file}, "p")
    assert images._digest(images.LAB_CPU, {"start": file}, "p") == first
    assert images._digest(images.LAB_CPU, {"start": file}, "q") != first
    assert images._digest(images.LAB_CPU, {"begin": file}, "p") != first
    file.chmod(0o755)
    assert images._digest(images.LAB_CPU, {"start": file}, "p") != first
    file.chmod(0o644)
    file.write_text("two")
    assert images._digest(images.LAB_CPU, {"start": file}, "p") != first


def test_a_context_holds_code_but_no_bytecode() -> None:
    names = dict(images._context_files(images.LAB_CPU))
    assert {"Dockerfile", "dli/core/wire.py", "dli/usage/client.py"} <= set(names)
    assert "dli/grader/exchange/plugin.py" in names
    assert not [name for name in names if "__pycache__" in name or "usage/models" in name]


def test_a_packed_context_has_plain_owners_and_modes(tmp_path: Path) -> None:
    file = tmp_path / "run"
    file.write_text("x")
    file.chmod(0o700)
    buffer = io.BytesIO()
    images._pack({"bin/run": file}, buffer)
    with tarfile.open(fileobj=buffer) as archive:
        member = archive.getmember("bin/run")
    assert (member.uid, member.gid, member.uname, member.mode) == (0, 0, "", 0o755)


def test_a_failed_build_says_which_image_and_the_last_lines() -> None:
    events = iter([{"stream": "Step 1/2 : RUN false\n"}, {"stream": "no such\n"}, {"error": "1"}])
    with pytest.raises(images.ImageError, match=r"(?s)dli/x.*no such"):
        images._follow("dli/x", events, lambda _line: None)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_wheel_tags_are_those_debian_12_can_run(machine: str) -> None:
    found = image_parts.wheel_platforms(machine)
    assert found[0] == f"manylinux_2_36_{machine}"
    assert f"manylinux_2_37_{machine}" not in found
    assert found[-1] == "any"


def _wheel(folder: Path, needs: str) -> None:
    with zipfile.ZipFile(folder / "torch-9-cp311-cp311-any.whl", "w") as wheel:
        wheel.writestr("torch-9.dist-info/METADATA", f"Name: torch\nRequires-Dist: {needs}\n")


def test_the_cuda_build_is_refused_for_cpu_labs_with_the_remedy(tmp_path: Path) -> None:
    _wheel(tmp_path, "nvidia-cublas==1; platform_system == 'Linux'")
    with pytest.raises(image_parts.PartError, match="PIP_FIND_LINKS"):
        image_parts._check_cpu_torch(tmp_path)


def test_the_cpu_build_passes(tmp_path: Path) -> None:
    _wheel(tmp_path, "sympy>=1")
    image_parts._check_cpu_torch(tmp_path)


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / "images" / name).read_text().splitlines()
    pins = [re.fullmatch(r"([\w.-]+)===?([\w.]+)", line) for line in lines if line[0] != "#"]
    assert all(pins), f"{name}: every line pins one version"
    return {pin[1].lower(): pin[2] for pin in pins if pin}


def test_both_builds_of_torch_are_the_same_version_and_share_no_package() -> None:
    cpu, cuda = _pins("python/torch-cpu.txt"), _pins("lab-gpu/torch-cuda.txt")
    assert cpu["torch"] == cuda["torch"]
    assert {"triton", "nvidia-cudnn-cu13", "nvidia-cublas"} <= set(cuda)
    assert not set(cuda) & set(_pins("python/requirements.txt"))


def test_the_slow_grammar_is_not_on_the_list() -> None:
    assert not {"rfc3987-syntax", "lark"} & set(_pins("python/requirements.txt"))
