"""Words for states, outcomes and flags, in the reader's language."""

from __future__ import annotations

from web.i18n import gettext as _


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
    what = item.get("what", "")
    return f"{sentence} ({'; '.join(part for part in (where, what) if part)})"
