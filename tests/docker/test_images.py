"""What is in the images: every needed package, nothing that is not needed; the sandbox starts."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

pytestmark = pytest.mark.docker

IMAGES = ["dli/lab-cpu:latest", "dli/sandbox:latest"]

MISSING = """
import re
from importlib.metadata import distributions
from packaging.requirements import Requirement
def plain(name):
    return re.sub('[-_.]+', '-', name).lower()
have = {plain(d.metadata['Name']): d.version for d in distributions()}
wants = {(plain(d.metadata['Name']), ''): d.requires or [] for d in distributions()}
todo, seen, wrong = list(wants), set(), set()
while todo:
    name, extra = todo.pop()
    if (name, extra) in seen:
        continue
    seen.add((name, extra))
    for text in wants.get((name, ''), []):
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({'extra': extra}):
            continue
        other = plain(need.name)
        if other not in have or not need.specifier.contains(have[other], prereleases=True):
            wrong.add(str(other))
        todo += [(other, e) for e in need.extras]
print(sorted(wrong))
"""
"""Names of packages that another one needs (its extras counted) and that are not there."""


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    engine = docker.from_env(timeout=120)
    yield engine
    engine.close()


def run(client: docker.DockerClient, image: str, *command: str) -> str:
    """Output of a command in a throwaway container without network, root read-only."""
    output: bytes = client.containers.run(
        image,
        entrypoint=[],
        command=list(command),
        remove=True,
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "rw,mode=1777"},
        cap_drop=["ALL"],
    )
    return output.decode().strip()


@pytest.mark.parametrize("image", IMAGES)
def test_no_package_is_missing_but_the_slow_grammar(
    client: docker.DockerClient, image: str
) -> None:
    assert run(client, image, "python3", "-c", MISSING) == "['rfc3987-syntax']"


def test_no_schema_uses_the_formats_that_are_not_checked(client: docker.DockerClient) -> None:
    find = 'grep -rlE \'"format": *"iri\' /opt/lab --include=*.json --include=*.y*ml || true'
    found = run(client, IMAGES[0], "sh", "-c", find).splitlines()
    # The specification's own vocabulary files name every format.
    assert [name for name in found if "jsonschema_specifications" not in name] == []


@pytest.mark.parametrize("image", IMAGES)
def test_tools_tests_and_sources_stay_out(client: docker.DockerClient, image: str) -> None:
    look = (
        "cd /opt/lab; ls lib/python3.11/site-packages | grep -cxE 'pip|lark|rfc3987_syntax'; "
        "find . -name '*.js.map' | wc -l; find . -path '*sklearn*' -name tests | wc -l"
    )
    assert run(client, image, "sh", "-c", look).split() == ["0", "0", "0"]


@pytest.mark.parametrize("image", IMAGES)
def test_bytecode_is_trusted_without_a_look_at_the_source(
    client: docker.DockerClient, image: str
) -> None:
    modules = ["numpy"] if "sandbox" in image else ["numpy", "core.wire"]  # no code of ours there
    code = (
        "import importlib, importlib.util as u\n"
        f"for m in map(importlib.import_module, {modules}):\n"
        "    flags = open(u.cache_from_source(m.__file__), 'rb').read(8)[4:]\n"
        "    print(int.from_bytes(flags, 'little'))"  # 1: by hash, and not compared
    )
    assert run(client, image, "python3", "-c", code).split() == ["1"] * len(modules)


def test_the_sandbox_has_the_labs_packages_and_nothing_of_ours(
    client: docker.DockerClient,
) -> None:
    image = "dli/sandbox:latest"
    code = "import torch, sklearn.datasets; print(torch.ones(2).sum().item())"
    assert run(client, image, "python3", "-c", code) == "2.0"
    assert client.images.get(image).attrs["Config"]["User"] == "1000:1000"
    code = (
        "import importlib.util as u\n"
        "print([n for n in ('usage', 'dli_lab', 'labs', 'grader', 'core') if u.find_spec(n)])"
    )
    assert run(client, image, "python3", "-c", code) == "[]"


@pytest.mark.parametrize("image", IMAGES)
def test_numba_runs_kernels_in_its_simulator(client: docker.DockerClient, image: str) -> None:
    code = (
        "import os; os.environ['NUMBA_ENABLE_CUDASIM'] = '1'\n"
        "import numpy as np\n"
        "from numba import cuda\n"
        "@cuda.jit\n"
        "def double(x):\n"
        "    i = cuda.grid(1)\n"
        "    if i < x.size: x[i] *= 2\n"
        "x = np.arange(5.0); double[2, 4](x); print(x.sum())"
    )
    assert run(client, image, "python3", "-c", code) == "20.0"


def test_numba_compiles_without_a_place_to_write(client: docker.DockerClient) -> None:
    code = "import numba; print(numba.njit(lambda x: x + 1)(41))"
    assert run(client, IMAGES[1], "python3", "-c", code) == "42"
