"""A report as rows of words, for CSV and PDF alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from core.units import UNITS_PER_GPU_HOUR
from usage.reports.figures import Figures, Period, total
from web import formats, pdf, sheets
from web.i18n import gettext as _
from web.i18n import language


@dataclass(frozen=True)
class Paper:
    """One table with its title."""

    title: str
    subtitle: str
    lines: Sequence[Figures]
    kind: str
    """cohort, organisation or person: what a line is about."""


def heads(kind: str) -> list[str]:
    """Names of the columns. The number columns come last."""
    first = {
        "cohort": [_("Cohort"), _("Organisation")],
        "organisation": [_("Organisation")],
        "person": [_("Person")],
    }[kind]
    people = [] if kind == "person" else [_("People"), _("With GPU labs"), _("Completions")]
    times = [_("Held (GPU-h)"), _("Used (GPU-h)"), _("Idle (GPU-h)"), _("Unknown (GPU-h)")]
    return [*first, *people, _("GPU labs"), *times]


def columns(kind: str) -> list[str | tuple[str, str]]:
    """The same as a table of a page wants them."""
    words = len(_names(total([]), kind))
    named = heads(kind)
    return [*named[:words], *((head, "num") for head in named[words:])]


def to_csv(paper: Paper) -> bytes:
    """Numbers as numbers, with a point, to four digits after it; for spreadsheets."""
    return sheets.to_csv(heads(paper.kind), [_cells(line, paper.kind) for line in paper.lines])


def _cells(line: Figures, kind: str) -> list[str | int | float | None]:
    people = [] if kind == "person" else [line.people, line.active, line.completed]
    amounts = (line.held, line.used, line.idle, line.unknown)
    return [*_names(line, kind), *people, line.labs, *(_hours(a) for a in amounts)]


def _names(line: Figures, kind: str) -> list[str]:
    return [line.name, line.organisation] if kind == "cohort" else [line.name or "–"]


def _hours(amount: int) -> float:
    return round(float(Fraction(amount, UNITS_PER_GPU_HOUR)), 4)


def to_pdf(paper: Paper, state_dir: Path, made: datetime, zone: str) -> bytes:
    """A4 across, in the reader's language. Raises AssetError without the font."""
    doc = pdf.new(state_dir, paper.title, language(), made, landscape=True)
    doc.add_page()
    doc.set_font(pdf.FONT, "B", 18)
    doc.multi_cell(0, 10, paper.title, new_x="LMARGIN", new_y="NEXT")
    doc.set_font(pdf.FONT, size=10)
    note = _("Made on %(time)s.") % {"time": formats.moment(made, zone)}
    for text in (paper.subtitle, note, explained()):
        if text:
            doc.multi_cell(0, 6, text, align="L", new_x="LMARGIN", new_y="NEXT")
    doc.ln(4)
    doc.set_font(pdf.FONT, size=9)
    rows = [_words(line, paper.kind) for line in paper.lines]
    if len(rows) > 1 and paper.kind != "organisation":
        rows.append(_words(_sum(paper), paper.kind))
    numbers = len(heads(paper.kind)) - len(_names(total([]), paper.kind))
    # The unit on a line of its own: the columns are narrow.
    named = [re.sub(r" ?\(", "\n(", head) for head in heads(paper.kind)]
    pdf.table(doc, named, rows, numbers)
    return bytes(doc.output())


def _sum(paper: Paper) -> Figures:
    return replace(total(paper.lines), name=_("Total"))


def _words(line: Figures, kind: str) -> list[str]:
    return [
        cell if isinstance(cell, str) else "–" if cell is None else formats.number(cell, 2)
        for cell in _cells(line, kind)
    ]


def explained() -> str:
    """What the columns mean."""
    return _(
        "Held: time for which a GPU was held, times its share of a GPU. Used: the part in which "
        "the lab's kernels worked, as labs report every minute; idle: in which they did not; "
        "unknown: not reported. Completions: valid certificates."
    )


def period_words(period: Period, zone: str) -> str:
    """The period in words."""
    if period.since and period.until:
        return _("Labs begun from %(since)s until before %(until)s.") % {
            "since": formats.moment(period.since, zone),
            "until": formats.moment(period.until, zone),
        }
    if period.since:
        since = formats.moment(period.since, zone)
        return _("Labs begun from %(since)s on.") % {"since": since}
    if period.until:
        return _("Labs begun before %(until)s.") % {"until": formats.moment(period.until, zone)}
    return ""
