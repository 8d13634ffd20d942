"""A notebook as HTML: what a learner wrote is cleaned, and nothing in it acts or loads."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import Any

_STYLE = """
html{background:#fff;color:#1b2420}
body{font:15px/1.6 sans-serif;margin:1rem;overflow-wrap:anywhere;word-break:keep-all}
pre{white-space:pre-wrap;margin:0}img{max-width:100%}table{border-collapse:collapse}
td,th{border:1px solid #dfe5e2;padding:.2rem .5rem;overflow-wrap:normal}
h1{font-size:1.4rem}h2{font-size:1.2rem}h3{font-size:1.05rem}
.highlight{background:#f6f8f7;border:1px solid #dfe5e2;border-radius:.4rem;padding:.5rem .75rem;
margin:.5rem 0}.output{padding:.25rem .75rem}.prompt,.anchor-link{display:none}
"""


_BEGIN = '<html lang="{}">'


def in_language(page: bytes, language: str) -> bytes:
    """A page of `grader.feedback` with our words in `language` (``ko`` or ``en``); one that an
    older version made stays as it is."""
    return page.replace(_BEGIN.format("en").encode(), _BEGIN.format(language).encode(), 1)


def as_html(source: bytes, title: str, language: str) -> str:
    """A whole page; what a learner wrote is cleaned. `language` is the notebook's."""
    import nbformat  # late: these take a second to import
    from nbconvert.exporters import HTMLExporter

    exporter = HTMLExporter(template_name="basic", sanitize_html=True)
    exporter.register_filter("clean_html", cleaned)
    notebook = nbformat.reads(source.decode(), as_version=nbformat.NO_CONVERT)
    notebook.cells = [one for cell in notebook.cells for one in _with_place(cell)]
    body = exporter.from_notebook_node(notebook)[0]
    return (
        f"<!doctype html>{_BEGIN.format(language)}<meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style()}</style><main>{body}</main>"
    )


def _with_place(cell: Any) -> list[Any]:
    """A graded cell can be jumped to: ``#cell-<its id>``."""
    from nbformat import v4

    grade_id = str((cell.metadata.get("nbgrader") or {}).get("grade_id") or "")
    place = f'<span id="cell-{escape(grade_id)}"></span>'
    return [v4.new_markdown_cell(place), cell] if grade_id else [cell]


_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl",
    "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img",
    "kbd", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "summary", "sup",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "*": ["class", "id", "title"],
    "a": ["href"],
    "img": ["alt", "src", "width", "height"],
    "td": ["align", "colspan", "rowspan"],
    "th": ["align", "colspan", "rowspan"],
}


_SHEET = re.compile(r"<style\b[^>]*>.*?</style\s*>", re.DOTALL | re.IGNORECASE)


def cleaned(html: object) -> str:
    """Text of a notebook with the tags that text needs, and nothing that acts or loads.

    nbconvert's own list lacks headings and paragraphs, and would show them as source.
    """
    import bleach

    text = html.decode() if isinstance(html, bytes) else str(html)
    text = _SHEET.sub("", text)  # else shown as text: a data frame brings one
    return str(
        bleach.clean(
            text, tags=_TAGS, attributes=_ATTRIBUTES, protocols=["http", "https", "mailto", "data"]
        )
    )


@cache
def style() -> str:
    """The style sheet of such a page."""
    from pygments.formatters import HtmlFormatter

    return _STYLE + str(HtmlFormatter().get_style_defs(".highlight"))
