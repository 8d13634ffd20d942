"""PDF files with Korean and Latin letters: a page to draw on, by fpdf2.

The font (Nanum Gothic, OFL) comes from npm with the browser's assets; fpdf2 puts only the letters
used into a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace

from web.assets import AssetError, node_folder

FONT = "nanum"
"""The family to name in `set_font`; regular and bold ("B")."""

_FILES = {"": "400Regular/NanumGothic_400Regular.ttf", "B": "700Bold/NanumGothic_700Bold.ttf"}
_HEAD = FontFace(emphasis="BOLD", fill_color=(232, 240, 236))


def new(
    state_dir: Path, title: str, language: str, made: datetime, *, landscape: bool = False
) -> FPDF:
    """An empty A4 document in millimetres with the font set, 11 points.

    `made` goes into its metadata, so that the same content is the same file. Raises AssetError when
    the font was not installed (`./dli up` does it).
    """
    pdf = FPDF(orientation="landscape" if landscape else "portrait", format="A4")
    folder = node_folder(state_dir) / "node_modules" / "@expo-google-fonts" / "nanum-gothic"
    for style, name in _FILES.items():
        if not (folder / name).is_file():
            raise AssetError(f"{folder / name} is missing; ./dli up installs it")
        pdf.add_font(FONT, style, folder / name)
    pdf.set_title(title)
    pdf.set_lang(language)
    pdf.set_creation_date(made)
    pdf.set_font(FONT, size=11)
    return pdf


def table(pdf: FPDF, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> None:
    """A table over the page's width; the last `numbers` columns are numbers, to the right.

    It goes on over as many pages as it needs, with its head on each.
    """
    words = len(heads) - numbers
    with pdf.table(
        headings_style=_HEAD,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        text_align=["LEFT"] * words + ["RIGHT"] * numbers,
        col_widths=[2] * words + [1] * numbers,
        line_height=7,
    ) as made:
        for cells in (heads, *rows):
            made.row(list(cells))
