"""Feedback pages: nbgrader's grades and comments over what the learner may see.

The notebooks that come in hold no hidden test (grader.autograde replaced them). Pages are shown
under a policy without scripts; outputs and text are cleaned here as well. A page is made once and
read in either language: it holds our words in both (`grader.notebook_html.in_language`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter
from nbgrader.preprocessors import GetGrades
from sqlalchemy import select
from sqlalchemy.orm import Session
from traitlets.config import Config

from core.clock import now
from core.i18n import LANGUAGES, translations
from core.log import event
from grader.blobs import Blobs
from grader.gradebook import CourseBook
from grader.models import Feedback, Score, Submission
from grader.notebook_html import cleaned, style
from grader.submissions import student_id

_LOG = logging.getLogger("grader.feedback")
_HERE = Path(__file__).parent
_TEMPLATES = _HERE / "templates" / "nbconvert"
_STYLE = """
main{max-width:60rem;margin:auto}.total{font-size:1.2rem}
.graded{display:flex;flex-wrap:wrap;gap:0 .75rem;background:#e8f1ec;border-radius:.4rem;
padding:.25rem .75rem;margin:1rem 0 .25rem}.graded a{margin-left:auto}
.parts .points{margin-left:.75rem}.say{display:none}.output_error{color:#a5281b}
.comment{border-left:.25rem solid #1b6b4a;padding:.25rem .75rem;margin:.5rem 0}
"""


def render(book: CourseBook, submission: Submission, name: str, notebook: bytes) -> bytes:
    """One page. Hold `book.lock`: grades and comments come from the gradebook."""
    student = student_id(submission.username)
    resources = book.resources(student, submission.assignment, name)
    parsed = nbformat.reads(notebook.decode(), as_version=4)
    parsed, resources = GetGrades()(parsed, resources)
    html, _resources = _exporter().from_notebook_node(parsed, resources=resources | _given())
    return str(html).encode()


def render_all(
    book: CourseBook, blobs: Blobs, graded: list[tuple[Submission, Score]]
) -> tuple[dict[tuple[str, str, int], str], list[str]]:
    """Pages of many submissions: blob by submission, notebook and score; and what failed.

    One damaged submission never stops the others.
    """
    pages: dict[tuple[str, str, int], str] = {}
    failed = []
    for submission, score in graded:
        try:
            with book.lock():
                for name, sha256 in score.notebooks.items():
                    page = render(book, submission, name, blobs.read(sha256))
                    pages[(submission.id, name, score.id)] = blobs.put(page)
        except Exception as error:
            _LOG.exception("feedback failed")
            event(_LOG, "feedback failed", submission=submission.id)
            failed.append(f"{submission.username}: {error}")
    return pages, failed


def release(session: Session, pages: dict[tuple[str, str, int], str], by: str) -> None:
    """Let learners see `pages`; a newer page replaces an older one."""
    at = now()
    for (submission, notebook, score), sha256 in pages.items():
        known = session.scalar(
            select(Feedback).where(
                Feedback.submission_id == submission, Feedback.notebook == notebook
            )
        )
        if known is None:
            known = Feedback(submission_id=submission, notebook=notebook)
            session.add(known)
        known.sha256 = sha256
        known.score_id = score
        known.released_at = at
        known.released_by = by


def _exporter() -> Any:
    config = Config()
    config.HTMLExporter.template_name = "feedback"
    config.HTMLExporter.extra_template_basedirs = [str(_TEMPLATES)]
    config.HTMLExporter.sanitize_html = True
    exporter = HTMLExporter(config=config)
    exporter.register_filter("clean_html", cleaned)
    return exporter


def _given() -> dict[str, Any]:
    """What the template needs beside the notebook."""
    shown = (f':root[lang="{one}"] .say[lang="{one}"]{{display:inline}}' for one in LANGUAGES)
    return {
        "words": {language: _words(language) for language in LANGUAGES},
        "style": style() + _STYLE + "".join(shown),
    }


def _words(language: str) -> dict[str, str]:
    _ = translations(_HERE / "locale", language).gettext
    return {
        "answer": _("Your answer"),
        "comment": _("Comment"),
        "late": _("Taken off for being late"),
        "score": _("Score"),
        "task": _("Task"),
        "tests": _("Tests"),
        "top": _("To the top"),
    }
