"""What a sandbox answered, turned into a notebook's outputs that nbgrader scores as it always does.

An error in a test cell's outputs is nbgrader's zero, a number as its result is partial credit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat.v4 import new_output

from core import i18n
from grader.protocol import Cell, Display, Error, Outcome, Output, RanCell, Result, Stream, Test

_LOCALE = Path(__file__).parent / "locale"
_MOST_LOST = 1e6
"""A test may take points away; more than this is no score but a way to spoil sums."""
_HARMLESS = "IPython."
"""Changes of the shell itself cannot reach tests, which were compiled elsewhere: flag only."""


@dataclass
class Told:
    """What instructors are told beside the scores."""

    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By grade id: outcome and, for instructors only, the error's text."""
    flags: list[dict[str, str]] = field(default_factory=list)


def merge(notebook: Any, cells: list[Cell], outcome: Outcome, language: str) -> Told:
    """Put outputs into `notebook` (ours, never the sandbox's) and say what happened."""
    told = Told()
    if outcome.reason:
        told.flags.append({"flag": f"stopped-{outcome.reason.replace(' ', '-')}", "cell": ""})
    for asked in cells:
        cell = notebook.cells[asked.index]
        ran = outcome.cells.get(asked.index)
        cell.outputs = outputs_of(ran) if ran else []
        cell.execution_count = ran.count if ran else None
        if asked.test is not None:
            test = outcome.tests.get(asked.index) or Test(index=asked.index, outcome="not-reached")
            _test(cell, test, told, language)
        elif ran is None:
            cell.outputs.append(_error("NotRun", _why_not_run(outcome.reason, language)))
    return told


def outputs_of(ran: RanCell) -> list[Any]:
    """Outputs as nbformat's, text made fit for UTF-8."""
    return [_output(output) for output in ran.outputs]


def _output(output: Output) -> Any:
    if isinstance(output, Stream):
        return new_output("stream", name=output.name, text=_clean(output.text))
    if isinstance(output, Error):
        return new_output(
            "error",
            ename=_clean(output.ename),
            evalue=_clean(output.evalue),
            traceback=[_clean(line) for line in output.traceback],
        )
    assert isinstance(output, Display | Result)
    data = {kind: _clean(text) for kind, text in output.data.items()}
    if isinstance(output, Result):
        return new_output("execute_result", data=data, execution_count=output.execution_count)
    return new_output("display_data", data=data)


def _test(cell: Any, test: Test, told: Told, language: str) -> None:
    name = cell.metadata["nbgrader"]["grade_id"]
    outcome, extra = judged(test, float(cell.metadata["nbgrader"]["points"]))
    if test.changed:
        changed = ", ".join(test.changed[:5])
        told.flags.append({"flag": "changed-library", "cell": name, "what": changed})
    if test.noticed:
        told.flags.append({"flag": "noticed", "cell": name, "what": ", ".join(test.noticed[:5])})
    if not test.canary:
        told.flags.append({"flag": "tests-disarmed", "cell": name})
    if test.outcome == "forged":
        told.flags.append({"flag": "forged-result", "cell": name})
    told.details[name] = {"outcome": outcome, "why": test.error, "seen": test.seen}
    quiet = [o for o in cell.outputs if not _counts_as_failure(o) and not _is_result(o)]
    if outcome == "pass":
        cell.outputs = quiet + extra
        return
    failures = [o for o in cell.outputs if o.output_type == "error"]
    if not failures:
        failures = [_error("TestFailed", _why_failed(outcome, language))]
    cell.outputs = [o for o in cell.outputs if not _is_result(o) and o not in failures] + failures


def judged(test: Test, points: float) -> tuple[str, list[Any]]:
    """The outcome that counts, and the result output that gives partial credit."""
    outcome = _certain(test)
    number = _number(test.value)
    if outcome != "pass" or number is None:
        return outcome, []
    if math.isnan(number) or number < -_MOST_LOST:
        return "fail", []  # nbgrader would give all points for "not a number"
    if number > points:
        return "broken-test", []
    shown = {"text/plain": repr(number)}  # no digits but the number's own
    result = new_output("execute_result", data=shown, execution_count=None)
    return "pass", [result]


def _certain(test: Test) -> str:
    """Passing counts only when nothing shows that the tests could not do their work."""
    if test.outcome != "pass":
        return test.outcome
    if not test.canary:
        return "disarmed"
    if any(not name.startswith(_HARMLESS) for name in test.changed):
        return "changed-library"
    return "stderr" if test.stderr else "pass"


def _number(text: str | None) -> float | None:
    """Partial credit; anything but a number is none of it, as in nbgrader."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _counts_as_failure(output: Any) -> bool:
    return bool(
        output.output_type == "error"
        or (output.output_type == "stream" and output.name == "stderr")
    )


def _is_result(output: Any) -> bool:
    return bool(output.output_type == "execute_result")


def _error(name: str, text: str) -> Any:
    return new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _why_failed(outcome: str, language: str) -> str:
    _ = i18n.translations(_LOCALE, language).gettext
    sentences = {
        "fail": _("A hidden test of this cell failed."),
        "time": _("The tests of this cell took too long."),
        "crash": _("The process ended while the tests of this cell ran."),
        "not-reached": _("The notebook stopped before this cell."),
        "stderr": _("The tests of this cell wrote to standard error."),
        "changed-library": _("A library was changed before the tests of this cell."),
        "disarmed": _("The tests of this cell were disarmed."),
        "forged": _("The result of this cell was not given by its tests."),
        "broken-test": _("The test itself is faulty. Your instructor was told."),
    }
    return sentences[outcome]


def _why_not_run(reason: str, language: str) -> str:
    _ = i18n.translations(_LOCALE, language).gettext
    if reason == "time":
        return _("Not run: the time for this notebook was used up.")
    if reason == "end":
        return _("Not run: the process had ended.")
    return _("Not run: the notebook was stopped.")
