"""docs/reference/gpu-time.md: every promise names tests, and every named test exists."""

from __future__ import annotations

import ast
import re

import pytest

from core.settings import ROOT

TEXT = (ROOT / "docs" / "reference" / "gpu-time.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", TEXT)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in functions, f"{file} has no {name}: correct docs/reference/gpu-time.md"


def test_every_promise_has_a_test() -> None:
    parts = re.split(r"^### (\d)\. .*$", TEXT, flags=re.MULTILINE)
    promises = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert sorted(promises) == list("12345678")
    for number, part in promises.items():
        assert "::test_" in part.split("\n## ")[0], f"promise {number} names no test"
