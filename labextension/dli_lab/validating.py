"""Run a notebook's visible tests: ``python -m dli_lab.validating NOTEBOOK`` prints JSON.

A process of its own, because nbgrader is heavy and a notebook may run for minutes.
"""

from __future__ import annotations

import html
import json
import logging
import re
import sys
from typing import Any

MOST_CELLS, MOST_CHARACTERS = 20, 2000
KERNEL_S = 300
"""A kernel that starts while the whole class starts one takes its time; nbclient gives it 60 s."""


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """What the panel shows of nbgrader's result."""
    changed = [*result.get("changed", []), *result.get("type_changed", [])]
    failed = result.get("failed", [])
    return {
        "passed": not failed and not changed,
        "failed": [
            {"source": _cut(cell["source"]), "error": _cut(_plain(cell.get("error", "")))}
            for cell in failed[:MOST_CELLS]
        ],
        "changed": [_cut(cell["source"]) for cell in changed[:MOST_CELLS]],
    }


def _plain(page: str) -> str:
    """nbgrader gives tracebacks as HTML, coloured and escaped; the panel shows text."""
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


def main(arguments: list[str]) -> int:
    """0 with a result on standard output."""
    from nbgrader.validator import Validator
    from traitlets.config import Config

    logging.disable(logging.CRITICAL)
    patient = Config({"ExecutePreprocessor": {"startup_timeout": KERNEL_S}})
    print(json.dumps(summary(Validator(config=patient).validate(arguments[0]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
