"""Scripts in the shapes by which they get into pages. Each calls back to the page's own server.

``{js}`` is a call that is noticed, ``{n}`` the payload's own number.
"""

from __future__ import annotations

JS = "fetch('/hit/{n}');top.alert?.({n})"
SHAPES = [
    "<script>{js}</script>", "<ScRiPt>{js}</sCrIpT>", "<img src=x onerror=\"{js}\">",
    "<svg onload=\"{js}\">", "<svg><script>{js}</script></svg>", "<body onload=\"{js}\">",
    "<iframe srcdoc=\"<script>parent.{js}</script>\"></iframe>", "<iframe src=\"javascript:{js}\">",
    "<details open ontoggle=\"{js}\">", "<video><source onerror=\"{js}\"></video>",
    "<audio src=x onerror=\"{js}\">", "<input autofocus onfocus=\"{js}\">",
    "<math><mtext><img src=x onerror=\"{js}\"></mtext></math>", "<object data=\"/hit/{n}\">",
    "<embed src=\"/hit/{n}\">", "<link rel=stylesheet href=\"/hit/{n}\">",
    "<style>@import '/hit/{n}';</style>", "<meta http-equiv=refresh content=\"0;url=/hit/{n}\">",
    "<marquee onstart=\"{js}\">", "<img src=\"/hit/{n}\">", "<a href=\"javascript:{js}\">x</a>",
    "<base href=\"/hit/{n}/\"><img src=y>", "<script src=\"/hit/{n}\"></script>",
    "</pre></div><script>{js}</script>", "<noscript><p title=\"</noscript><script>{js}</script>\">",
    "<template><script>{js}</script></template><img src=x onerror=\"{js}\">",
    "<form action=\"/hit/{n}\"><button id=go autofocus>x</button></form>",
]  # fmt: skip
"""For text that is meant to hold HTML: notebooks and their outputs."""

BREAKOUTS = [
    "\"><script>{js}</script>", "'><script>{js}</script>", "\"><img src=x onerror=\"{js}\">",
    "' autofocus onfocus='{js}' x='", "\" autofocus onfocus=\"{js}\" x=\"",
    "\" onmouseover=\"{js}\" style=\"position:fixed;inset:0\" x=\"", "x onerror={js} ",
    "</title><script>{js}</script>", "</textarea><script>{js}</script>",
    "</option></select><img src=x onerror=\"{js}\">", "--><script>{js}</script>",
    "</script><script>{js}</script>", "\";{js};//", "';{js};//", "`${{{js}}}`", "{{{{{js}}}}}",
    "{{% set x = 1 %}}{{{{ x.__class__ }}}}", "javascript:{js}",
    "&lt;script&gt;{js}&lt;/script&gt;",
    "&#60;script&#62;{js}&#60;/script&#62;", "\\u003cscript\\u003e{js}\\u003c/script\\u003e",
    "%3Cscript%3E{js}%3C/script%3E", "<svg><animate onbegin=\"{js}\" attributeName=x dur=1s>",
    "<style>@keyframes x{{}}</style><p style=\"animation-name:x\" onanimationstart=\"{js}\">",
    "<x contenteditable autofocus tabindex=1 onfocus=\"{js}\">", "<script\n>{js}</script\n>",
    "<button formaction=\"javascript:{js}\" autofocus>", "<iframe src=\"data:text/html,<script>\">",
    "<div hx-get=\"/hit/{n}\" hx-trigger=\"load\"></div>",
    "<div data-hx-get=\"/hit/{n}\" data-hx-trigger=\"load\"></div>",
    "<div hx-on:load=\"{js}\" hx-on::load=\"{js}\"></div>",
    "<div hx-sse:connect=\"/hit/{n}\"></div>", "\" hx-get=\"/hit/{n}\" hx-trigger=\"load\" x=\"",
    "=HYPERLINK(\"/hit/{n}\")", "\u202e<script>{js}</script>", "\ufeff<img src=x onerror=\"{js}\">",
]  # fmt: skip
"""For text that stands in our own pages: in attributes, titles, scripts, and what htmx obeys."""


def payloads(shapes: list[str] | None = None) -> list[str]:
    """Each shape with a number of its own."""
    chosen = SHAPES + BREAKOUTS if shapes is None else shapes
    return [shape.format(js=JS.format(n=n), n=n) for n, shape in enumerate(chosen)]
