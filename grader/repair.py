"""Putting a submitted notebook's graded cells back as they were released.

nbgrader restores sources and points by ``grade_id`` but trusts the rest of a cell's metadata; a
cell that was deleted, copied or given another role would be skipped or stop the grading. Here each
graded cell gets its released metadata again, copies lose theirs, and what is missing comes back.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

_ROLE = ("grade", "solution", "locked", "task", "points")


def repair(notebook: Any, released: Any) -> list[dict[str, str]]:
    """Repair `notebook` in place; what was done, as ``{"flag", "cell"}`` for the instructor."""
    known = {
        cell.metadata["nbgrader"]["grade_id"]: cell
        for cell in released.cells
        if "grade_id" in _role(cell)
    }
    flags = _restore_roles(notebook, known)
    flags += _drop_copies(notebook)
    flags += _put_back(notebook, known)
    _give_ids(notebook)
    return flags


def _role(cell: Any) -> dict[str, Any]:
    found = cell.metadata.get("nbgrader", {})
    return found if isinstance(found, dict) else {}


def _id(cell: Any) -> str | None:
    found = _role(cell).get("grade_id")
    return found if isinstance(found, str) else None


def _restore_roles(notebook: Any, known: dict[str, Any]) -> list[dict[str, str]]:
    flags = []
    for cell in notebook.cells:
        if "nbgrader" not in cell.metadata:
            continue
        name = _id(cell)
        if name not in known:
            del cell.metadata["nbgrader"]
            if name is not None:
                flags.append({"flag": "unknown-cell", "cell": name[:100]})
            continue
        assert name is not None
        original = _role(known[name])
        if any((_role(cell).get(key) or 0) != (original.get(key) or 0) for key in _ROLE):
            flags.append({"flag": "changed-role", "cell": name})
        cell.metadata["nbgrader"] = copy.deepcopy(known[name].metadata["nbgrader"])
    return flags


def _drop_copies(notebook: Any) -> list[dict[str, str]]:
    """The last of several cells with one id counts, as in nbgrader."""
    flags, seen = [], set()
    for cell in reversed(notebook.cells):
        name = _id(cell)
        if name is None:
            continue
        if name in seen:
            del cell.metadata["nbgrader"]
            flags.append({"flag": "copied-cell", "cell": name})
        seen.add(name)
    return flags


def _put_back(notebook: Any, known: dict[str, Any]) -> list[dict[str, str]]:
    """Each missing cell comes after the graded cell that it followed in the release."""
    flags = []
    previous: str | None = None
    for name, original in known.items():
        places = {_id(cell): index for index, cell in enumerate(notebook.cells)}
        if name not in places:
            at = places[previous] + 1 if previous in places else 0
            notebook.cells.insert(at, copy.deepcopy(original))
            flags.append({"flag": "deleted-cell", "cell": name})
        previous = name
    return flags


def _give_ids(notebook: Any) -> None:
    """Every cell an id of its own, as notebook format 4.5 wants it."""
    notebook.nbformat_minor = max(notebook.get("nbformat_minor", 0), 5)
    seen: set[str] = set()
    for cell in notebook.cells:
        if not isinstance(cell.get("id"), str) or cell["id"] in seen:
            cell["id"] = uuid.uuid4().hex[:8]
        seen.add(cell["id"])
