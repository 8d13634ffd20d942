"""A certificate as a page to print: A4 across, in the reader's language, with the address and a QR
code by which anybody can check it."""

from __future__ import annotations

from pathlib import Path

import segno
from fpdf import FPDF

from grader.certificates.badge import title_of
from grader.models import Certificate
from web import formats, pdf
from web.i18n import gettext as _
from web.i18n import language

_GREEN = (11, 110, 79)
_QUIET = (85, 97, 91)
_WIDE, _HIGH = 297, 210
_QR = 26
"""Millimetres."""


def make(certificate: Certificate, state_dir: Path, site: str, address: str, zone: str) -> bytes:
    """The PDF. Raises web.assets.AssetError without the font."""
    title = title_of(certificate, language())
    doc = pdf.new(state_dir, title, language(), certificate.issued_at, landscape=True)
    doc.set_author(site)
    doc.set_auto_page_break(False)
    doc.add_page()
    _frame(doc)
    doc.set_y(34)
    _line(doc, site, 12, _QUIET)
    doc.ln(8)
    _line(doc, _("Certificate"), 34, _GREEN, "B")
    doc.ln(12)
    _line(doc, certificate.name or certificate.username, 26, (0, 0, 0), "B")
    doc.ln(4)
    _line(doc, _("has completed the course"), 13, _QUIET)
    doc.ln(4)
    _line(doc, title, 20, (0, 0, 0), "B")
    if certificate.hours:
        doc.ln(2)
        _line(doc, _("%(hours)s hours") % {"hours": formats.number(certificate.hours, 1)}, 12)
    doc.set_y(_HIGH - 52)
    _line(doc, formats.day(certificate.issued_at, zone), 13)
    _proof(doc, certificate, address)
    return bytes(doc.output())


def _frame(doc: FPDF) -> None:
    doc.set_draw_color(*_GREEN)
    doc.set_line_width(1.2)
    doc.rect(10, 10, _WIDE - 20, _HIGH - 20)
    doc.set_line_width(0.3)
    doc.rect(13, 13, _WIDE - 26, _HIGH - 26)


def _line(
    doc: FPDF, text: str, size: float, color: tuple[int, int, int] = (0, 0, 0), style: str = ""
) -> None:
    """One centred text, on several lines where it is long."""
    doc.set_font(pdf.FONT, style, size)
    doc.set_text_color(*color)
    doc.set_x(30)
    doc.multi_cell(_WIDE - 60, size * 0.5, text, align="C", new_x="LMARGIN", new_y="NEXT")


def _proof(doc: FPDF, certificate: Certificate, address: str) -> None:
    left, top = _WIDE - 22 - _QR, _HIGH - 22 - _QR
    matrix = list(segno.make(address, error="m", micro=False).matrix)
    size = _QR / len(matrix)
    doc.set_fill_color(0, 0, 0)
    for y, row in enumerate(matrix):
        for x, dark in enumerate(row):
            if dark:
                doc.rect(left + x * size, top + y * size, size, size, style="F")
    doc.set_font(pdf.FONT, size=8)
    doc.set_text_color(*_QUIET)
    doc.set_xy(22, _HIGH - 32)
    words = [_("Anybody can check this certificate:"), address, certificate.id]
    doc.multi_cell(_WIDE - 60 - _QR, 4.5, "\n".join(words), align="L")
