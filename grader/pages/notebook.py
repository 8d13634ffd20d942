"""A notebook as a page in a sandbox of its own."""

from __future__ import annotations

from functools import cache

from starlette.responses import Response

from grader.pages.learner import NOTEBOOK_POLICY

_STYLE = """
html{background:#fff;color:#1b2420}
body{font:15px/1.6 sans-serif;margin:1rem;overflow-wrap:anywhere;word-break:keep-all}
pre{white-space:pre-wrap;margin:0}img{max-width:100%}table{border-collapse:collapse}
td,th{border:1px solid #dfe5e2;padding:.2rem .5rem}
.highlight{background:#f6f8f7;border:1px solid #dfe5e2;border-radius:.4rem;padding:.5rem .75rem;
margin:.5rem 0}.output{padding:.25rem .75rem}.prompt,.anchor-link{display:none}
"""


def sandboxed(source: bytes) -> Response:
    """The notebook `source`: no script, no origin, nothing loaded from anywhere."""
    return as_sandboxed(as_html(source))


def as_sandboxed(page: str | bytes) -> Response:
    """A page made of what a learner wrote."""
    headers = {"Content-Security-Policy": NOTEBOOK_POLICY, "Cache-Control": "private, no-store"}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def as_html(source: bytes) -> str:
    """A whole page; what a learner wrote is cleaned."""
    import nbformat  # late: these take a second to import
    from nbconvert.exporters import HTMLExporter

    exporter = HTMLExporter(template_name="basic", sanitize_html=True)
    notebook = nbformat.reads(source.decode(), as_version=nbformat.NO_CONVERT)
    body = exporter.from_notebook_node(notebook)[0]
    return f"<!doctype html><meta charset=utf-8><title>-</title><style>{_colours()}</style>{body}"


@cache
def _colours() -> str:
    from pygments.formatters import HtmlFormatter

    return _STYLE + str(HtmlFormatter().get_style_defs(".highlight"))
