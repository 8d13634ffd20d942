"""What the panel shows of a notebook's visible tests, by a real kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from core.settings import ROOT


def test_a_failed_test_is_told_in_plain_text(tmp_path: Path) -> None:
    marks = {"grade": True, "solution": False, "locked": True, "schema_version": 3, "points": 1}
    task = {"task": False, "cell_type": "code"}
    cells = [
        new_code_cell("answer = '<b>41</b>'"),
        *(
            new_code_cell(source, metadata={"nbgrader": marks | task | {"grade_id": name}})
            for name, source in (("one", "assert answer == '<b>42</b>'"), ("two", "assert answer"))
        ),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "work.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    done = subprocess.run(
        [sys.executable, "-m", "dli_lab.validating", str(path)],
        cwd=ROOT / "labextension", capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert not result["passed"]
    (failed,) = result["failed"]
    assert failed["source"] == "assert answer == '<b>42</b>'"
    assert "assert answer == '<b>42</b>'" in failed["error"]
    assert "AssertionError" in failed["error"]
    assert "span" not in failed["error"]
    assert "&" not in failed["error"]
