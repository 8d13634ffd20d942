"""Feedback pages: nbgrader's own template over what the learner may see.

The notebooks that come in hold no hidden test (grader.autograde replaced them). Pages are shown
under a policy without scripts; outputs and text are cleaned here as well.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nbformat
import nbgrader
from nbconvert.exporters import HTMLExporter
from nbgrader.preprocessors import GetGrades
from sqlalchemy import select
from sqlalchemy.orm import Session
from traitlets.config import Config

from core.clock import now
from core.log import event
from grader.blobs import Blobs
from grader.gradebook import CourseBook
from grader.models import Feedback, Score, Submission
from grader.submissions import student_id

_LOG = logging.getLogger("grader.feedback")
_FORMGRADER = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
_TEMPLATES = _FORMGRADER / "templates"
_STYLES = _FORMGRADER / "static" / "node_modules" / "bootstrap" / "dist" / "css"


def render(book: CourseBook, submission: Submission, name: str, notebook: bytes) -> bytes:
    """One page. Hold `book.lock`: grades and comments come from the gradebook."""
    student = student_id(submission.username)
    resources = book.resources(student, submission.assignment, name)
    parsed = nbformat.reads(notebook.decode(), as_version=4)
    parsed, resources = GetGrades()(parsed, resources)
    html, _resources = _exporter().from_notebook_node(parsed, resources=resources)
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
    config.HTMLExporter.extra_template_paths = [str(_STYLES)]
    config.HTMLExporter.sanitize_html = True
    return HTMLExporter(config=config)
