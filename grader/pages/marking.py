"""Pages of an instructor: giving points and comments by hand."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from nbformat import NO_CONVERT
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.clock import now
from grader import jobs, labels, marks
from grader.desk import AtDesk, class_path
from grader.models import Mark, Score, Submission
from grader.pages.learner import NOTEBOOK_POLICY
from grader.submissions import is_newest, scores_of
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]
_LONGEST = 10_000


@router.get("/submissions/{submission}/marking")
def marking(request: Request, desk: AtDesk, person: Someone, submission: str) -> HTMLResponse:
    """Points and comments on the left, the notebook as it ran on the right."""
    found = desk.taught_submission(person, submission)
    with desk.database.read() as session:
        score = _score(session, found)
        given = {(m.notebook, m.cell): m for m in marks.of(session, found.id)}
        counts = is_newest(session, found)
    course, item = desk.assignment(found.course, found.assignment)
    return render(
        request,
        "grader/marking.html",
        course=course,
        assignment=item,
        submission=found,
        score=score,
        given=given,
        counts=counts,
        outcome=labels.outcome,
    )


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form()
    return {key: value for key, value in form.items() if isinstance(value, str)}


@router.post("/submissions/{submission}/marking")
def mark(
    desk: AtDesk,
    person: Someone,
    submission: str,
    typed: Annotated[dict[str, str], Depends(_typed)],
) -> Response:
    """Keep what was typed; the score follows in a moment."""
    found = desk.taught_submission(person, submission)
    with desk.database.write() as session:
        if not is_newest(session, found):
            raise HTTPException(409, _("A newer attempt counts. Grade that one."))
        score = _score(session, found)
        known = {(m.notebook, m.cell): m for m in marks.of(session, found.id)}
        for number, cell in enumerate(score.cells):
            one = _given(number, cell, typed)
            if one != known.get((one.notebook, one.cell), marks.Given(*_key(cell), None, "")):
                session.add(
                    Mark(
                        submission_id=found.id,
                        notebook=one.notebook,
                        cell=one.cell,
                        points=one.points,
                        comment=one.comment,
                        given_by=person.name,
                        given_at=now(),
                    )
                )
        jobs.ask(session, "rescore", (found.course, found.assignment, found.id), person.name)
    return RedirectResponse(class_path(found), 303)


@router.get("/submissions/{submission}/ran/{notebook}")
def ran(desk: AtDesk, person: Someone, submission: str, notebook: str) -> Response:
    """The notebook as it ran, as a page in a sandbox of its own."""
    found = desk.taught_submission(person, submission)
    with desk.database.read() as session:
        score = _score(session, found)
    if notebook not in score.notebooks:
        raise HTTPException(404, _("There is no such submission."))
    page = _as_html(desk.blobs.read(score.notebooks[notebook]))
    headers = {"Content-Security-Policy": NOTEBOOK_POLICY, "Cache-Control": "private, no-store"}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _as_html(notebook: bytes) -> str:
    import nbformat  # late: these take a second to import
    from nbconvert.exporters import HTMLExporter

    exporter = HTMLExporter(template_name="basic", sanitize_html=True)
    body = exporter.from_notebook_node(nbformat.reads(notebook.decode(), as_version=NO_CONVERT))[0]
    style = "body{font:15px/1.5 sans-serif;margin:1rem}pre{white-space:pre-wrap}img{max-width:100%}"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}"


def _given(number: int, cell: dict[str, Any], typed: dict[str, str]) -> marks.Given:
    try:
        points = marks.points(typed.get(f"points-{number}", ""), cell["max"])
    except ValueError:
        raise HTTPException(
            422,
            _("%(cell)s: points must be a number from 0 to %(most)s, or empty.")
            % {"cell": cell["cell"], "most": f"{cell['max']:g}"},
        ) from None
    comment = typed.get(f"comment-{number}", "").strip()[:_LONGEST]
    return marks.Given(*_key(cell), points, comment)


def _key(cell: dict[str, Any]) -> tuple[str, str]:
    return cell["notebook"], cell["cell"]


def _score(session: Session, submission: Submission) -> Score:
    found = scores_of(session, [submission.id]).get(submission.id)
    if found is None:
        raise HTTPException(409, _("Grade this submission first."))
    return found
