"""Pages of an instructor: giving points and comments by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.clock import now
from grader import audit, jobs, labels, marks, results
from grader.desk import AtDesk, Desk, InClass, class_path
from grader.models import Mark, Score, Submission
from grader.notebook_html import in_language
from grader.pages.notebook import as_sandboxed, sandboxed
from grader.submissions import is_newest, scores_of
from web import i18n
from web.auth import Person, signed_in
from web.i18n import gettext as _
from web.pages import render

router = APIRouter()
Someone = Annotated[Person, Depends(signed_in)]
_LONGEST = 10_000


@router.get("/courses/{course}/assignments/{assignment}/marking")
def begin(room: InClass, assignment: str, anonymous: bool = False) -> RedirectResponse:
    """The first submission that waits for a person, else the first that was graded."""
    room.assignment(assignment)
    with room.desk.database.read() as session:
        line = _line(session, (room.course.id, room.cohort, assignment), anonymous)
    first = next((row for row in line if row.state == "manual"), line[0] if line else None)
    if first is None:
        raise HTTPException(409, _("Nothing is graded yet. Grade the assignment first."))
    return RedirectResponse(_page(first.submission.id, anonymous), 303)


@router.get("/submissions/{submission}/marking")
def marking(
    request: Request,
    desk: AtDesk,
    person: Someone,
    submission: str,
    anonymous: bool = False,
    saved: bool = False,
) -> HTMLResponse:
    """Points and comments on the left, the notebook as it ran on the right."""
    found = desk.taught_submission(person, submission)
    return _shown(request, desk, found, anonymous, saved=saved)


def _shown(
    request: Request,
    desk: Desk,
    found: Submission,
    anonymous: bool,
    saved: bool = False,
    problem: str = "",
    typed: dict[str, str] | None = None,
) -> HTMLResponse:
    """The page; with a `problem` what was `typed` is still there."""
    with desk.database.read() as session:
        score = _score(session, found)
        given = {(m.notebook, m.cell): m for m in marks.of(session, found.id)}
        counts = is_newest(session, found)
        line = _line(session, (found.course, found.cohort, found.assignment), anonymous)
    course, item = desk.assignment(found.course, found.assignment)
    return render(
        request,
        "grader/marking.html",
        422 if problem else 200,
        course=course,
        assignment=item,
        submission=found,
        score=score,
        given=given,
        counts=counts,
        outcome=labels.outcome,
        back=class_path(found),
        anonymous=anonymous,
        called="" if anonymous else desk.called(found.cohort, found.username),
        saved=saved,
        problem=problem,
        typed=typed or {},
        place=_place(line, found.id),
        page=lambda row: _page(row.submission.id, anonymous),
    )


@dataclass(frozen=True)
class Place:
    """Where a submission stands among those of its class. `number` 0: it does not count."""

    number: int
    of: int
    waiting: int
    """That need a person."""
    before: results.Row | None = None
    after: results.Row | None = None
    next_waiting: results.Row | None = None
    """The next that needs a person, from here on and around."""


def _line(session: Session, work: tuple[str, str, str], anonymous: bool) -> list[results.Row]:
    """The class's graded submissions by name; anonymous ones in an order that tells no name."""
    course, cohort, assignment = work
    found = results.rows(session, course, assignment, cohort=cohort)
    scored = [row for row in found if row.score is not None]
    return sorted(scored, key=lambda row: row.submission.id) if anonymous else scored


def _place(line: list[results.Row], submission: str) -> Place:
    ids = [row.submission.id for row in line]
    waiting = sum(row.state == "manual" for row in line)
    if submission not in ids:
        return Place(0, len(line), waiting)
    at = ids.index(submission)
    around = [*line[at + 1 :], *line[:at]]
    return Place(
        at + 1,
        len(line),
        waiting,
        line[at - 1] if at else None,
        line[at + 1] if at + 1 < len(line) else None,
        next((row for row in around if row.state == "manual"), None),
    )


def _page(submission: str, anonymous: bool, saved: bool = False) -> str:
    query = "&".join(
        f"{name}=true" for name, on in (("anonymous", anonymous), ("saved", saved)) if on
    )
    return f"/services/grader/submissions/{submission}/marking" + (f"?{query}" if query else "")


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form()
    return {key: value for key, value in form.items() if isinstance(value, str)}


@router.post("/submissions/{submission}/marking")
def mark(
    request: Request,
    desk: AtDesk,
    person: Someone,
    submission: str,
    typed: Annotated[dict[str, str], Depends(_typed)],
    anonymous: bool = False,
) -> Response:
    """Keep what was typed; the score follows in a moment. ``then=next`` goes on to the next.

    Points that cannot be change nothing: the page comes back with what was typed.
    """
    found = desk.taught_submission(person, submission)
    try:
        place = _keep(desk, person, found, typed, anonymous)
    except marks.WrongPoints as error:
        problem = _("%(cell)s: points must be a number from 0 to %(most)s, or empty.") % {
            "cell": error.what,
            "most": f"{error.most:g}",
        }
        return _shown(request, desk, found, anonymous, problem=problem, typed=typed)
    following = place.next_waiting or place.after
    if typed.get("then") == "next" and following is not None:
        return RedirectResponse(_page(following.submission.id, anonymous, saved=True), 303)
    return RedirectResponse(_page(found.id, anonymous, saved=True), 303)


def _keep(
    desk: Desk, person: Person, found: Submission, typed: dict[str, str], anonymous: bool
) -> Place:
    """Store what differs from what was given before. Raises WrongPoints, then nothing is stored."""
    item = desk.assignment(found.course, found.assignment)[1]
    language = desk.settings.site.language
    with desk.database.write() as session:
        if not is_newest(session, found):
            raise HTTPException(409, _("A newer attempt counts. Grade that one."))
        score = _score(session, found)
        known = {(m.notebook, m.cell): m for m in marks.of(session, found.id)}
        for number, cell in enumerate(score.cells):
            asked = item.criteria(cell["cell"])
            one = _given(number, cell, typed, marks.Rubric(asked, language))
            if one != known.get((one.notebook, one.cell), marks.Given(*_key(cell), None, "")):
                session.add(
                    Mark(
                        submission_id=found.id,
                        notebook=one.notebook,
                        cell=one.cell,
                        points=one.points,
                        comment=one.comment,
                        criteria=list(one.criteria),
                        given_by=person.name,
                        given_at=now(),
                    )
                )
        scope = f"{found.course}/{found.cohort}"
        audit.note(session, person.name, "mark.give", scope, found.id)
        jobs.ask(session, "rescore", (found.course, found.assignment, found.id), person.name)
        line = _line(session, (found.course, found.cohort, found.assignment), anonymous)
    return _place(line, found.id)


@router.get("/submissions/{submission}/ran/{notebook}")
def ran(desk: AtDesk, person: Someone, submission: str, notebook: str) -> Response:
    """The notebook as it ran, as a page in a sandbox of its own."""
    _found, ran_as = _executed(desk, person, submission, notebook)
    return sandboxed(ran_as, notebook)


@router.get("/submissions/{submission}/feedback-preview/{notebook}")
def feedback_preview(desk: AtDesk, person: Someone, submission: str, notebook: str) -> Response:
    """The feedback as the learner would read it, released or not."""
    from grader import feedback  # late: nbgrader takes a second to import
    from grader.gradebook import CourseBook

    found, ran_as = _executed(desk, person, submission, notebook)
    book = CourseBook.of(desk.settings.state_dir, found.course, found.cohort)
    if not book.exists:
        raise HTTPException(409, _("Grade this submission first."))
    page = feedback.render(book, found, notebook, ran_as)
    return as_sandboxed(in_language(page, i18n.language()))


def _executed(
    desk: Desk, person: Person, submission: str, notebook: str
) -> tuple[Submission, bytes]:
    """A submission of the teacher's class and one of its notebooks as it ran, else 404 or 409."""
    found = desk.taught_submission(person, submission)
    with desk.database.read() as session:
        score = _score(session, found)
    if notebook not in score.notebooks:
        raise HTTPException(404, _("There is no such submission."))
    return found, desk.blobs.read(score.notebooks[notebook])


def _given(
    number: int, cell: dict[str, Any], typed: dict[str, str], rubric: marks.Rubric
) -> marks.Given:
    try:
        points = marks.points(typed.get(f"points-{number}", ""), cell["max"])
        each = [typed.get(f"criterion-{number}-{k}", "") for k in range(len(rubric.asked))]
        criteria = rubric.earned(each)
    except marks.WrongPoints as error:
        error.what = error.what or cell["cell"]
        raise
    if criteria:
        points = min(sum(earned for _text, earned, _most in criteria), cell["max"])
    comment = typed.get(f"comment-{number}", "").strip()[:_LONGEST]
    return marks.Given(*_key(cell), points, comment, criteria)


def _key(cell: dict[str, Any]) -> tuple[str, str]:
    return cell["notebook"], cell["cell"]


def _score(session: Session, submission: Submission) -> Score:
    found = scores_of(session, [submission.id]).get(submission.id)
    if found is None:
        raise HTTPException(409, _("Grade this submission first."))
    return found
