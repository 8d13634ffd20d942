"""Words for states, outcomes and flags, in the reader's language."""

from __future__ import annotations

import re

from grader import explained
from grader.explained import Explained
from web.i18n import gettext as _

_FINDING = re.compile(r"(.+?) \(([a-z-]+)\)(?:, |$)")
"""As grader.zygote.sandbox writes down what a detector found: words and the kind of finding."""
_AROUND = re.compile(
    r"^(the notebook defines its own|a check failed:) "
    r"| (was changed|is not the imported one|of the notebook|during a test|in the notebook)$"
)
"""The English around a finding's name, which its kind says in the reader's language."""


def said(error: Explained) -> str:
    """A failure's sentence."""
    return error.filled(_(error.sentence))


def why(kept: str) -> str:
    """Why a job waits or failed; what an older version kept is shown as it is."""
    found = explained.read(kept)
    return said(found) if found else kept


def state(name: str) -> tuple[str, str]:
    """A row's state: words, and the kind of badge."""
    return {
        "waiting": (_("Not graded"), "secondary"),
        "grading": (_("Being graded"), "info"),
        "failed": (_("Could not be graded"), "danger"),
        "manual": (_("Needs your grading"), "warning"),
        "graded": (_("Graded"), "success"),
        "released": (_("Feedback released"), "success"),
    }[name]


def outcome(name: str) -> str:
    """How a graded cell ended."""
    return {
        "pass": _("Passed"),
        "fail": _("Failed"),
        "time": _("Took too long"),
        "crash": _("The process ended"),
        "not-reached": _("Not reached"),
        "forged": _("Result not given by the tests"),
        "broken-test": _("The test itself is faulty"),
        "disarmed": _("Tests were disarmed"),
        "changed-library": _("A library was changed"),
        "stderr": _("Wrote to standard error"),
        "manual": _("Graded by a person"),
        "no-answer": _("No answer"),
    }.get(name, name)


def flag(item: dict[str, str]) -> str:
    """What a detector saw."""
    sentence = {
        "unknown-cell": _(
            "A cell claimed to be a graded cell that does not exist; it was ignored."
        ),
        "changed-role": _("The grading marks of a cell were changed; they were put back."),
        "copied-cell": _("A graded cell was there twice; the last one counts."),
        "deleted-cell": _("A graded cell was deleted; it was put back as released."),
        "changed-library": _("Library functions were replaced before a test: no points for it."),
        "noticed": _("Something unusual was seen before a test. It proves nothing; please look."),
        "tests-disarmed": _("A check that must fail passed: no points for this cell."),
        "forged-result": _("A result came that the tests did not give: no points for this cell."),
        "stopped-end": _("The notebook ended its own process before the last cell."),
        "stopped-time": _("The notebook used up its time."),
        "stopped-too-much": _("The notebook printed more than is kept and was stopped."),
        "stopped-nonsense": _("The notebook's process sent something that is no result."),
    }.get(item["flag"], item["flag"])
    where = " / ".join(part for part in (item.get("notebook"), item.get("cell")) if part)
    what = _found(item.get("what", ""))
    return f"{sentence} ({'; '.join(part for part in (where, what) if part)})"


def _found(what: str) -> str:
    """A detector's findings; each kind in words, with the name that it is about."""
    kinds = {
        "detector": _("a check failed: %(name)s"),
        "looked": _("looked around: %(name)s"),
        "replaced-builtin": _("replaced builtin: %(name)s"),
        "replaced-function": _("replaced function: %(name)s"),
        "replaced-grader": _("changed in the grading process: %(name)s"),
        "replaced-module": _("replaced module: %(name)s"),
        "shadowed-builtin": _("a name of the notebook's own: %(name)s"),
        "threads": _("the notebook's threads still run"),
        "trace": _("a trace function was set"),
    }

    def words(found: re.Match[str]) -> str:
        name = _AROUND.sub("", found[1]).replace(" is not ", " ≠ ")
        known = kinds.get(found[2])
        return (known % {"name": name} if known else found[0].removesuffix(", ")) + "\n"

    return ", ".join(_FINDING.sub(words, what).splitlines())
