"""`./dli publish`, `grade` and `release`: coursework from the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.console import out
from cli.errors import CliError, own_key
from cli.steps import Step, Steps
from cli.text import _, language
from core import settings as core_settings
from core.i18n import N_
from core.settings import Settings
from grader.client import GraderClient, GraderRefused, GraderUnavailable, Progress, Result

_POLL_S = 0.3
BY = "./dli"

STATES = {
    "waiting": N_("waiting"),
    "grading": N_("being graded"),
    "failed": N_("failed"),
    "manual": N_("needs a person"),
    "graded": N_("graded"),
    "released": N_("feedback released"),
}

Course = Annotated[str, typer.Argument(help=_("The course's id: its folder in courses/"))]
Cohort = Annotated[
    str | None, typer.Option("--cohort", help=_("Only this cohort; without it, all of them"))
]
Assignment = Annotated[str, typer.Argument(help=_("The assignment's id in course.toml"))]


def publish(course: Course, assignment: Assignment) -> None:
    """Make the learners' version and hand it out."""
    title = _("Publish {what}", what=f"{course}/{assignment}")
    with _Session() as client, Steps(out).step(title) as step:
        follow(client, client.publish(course, assignment, BY), step)


def grade(
    course: Course,
    assignment: Assignment,
    again: Annotated[
        bool, typer.Option("--again", help=_("Grade submissions too that have a score"))
    ] = False,
    cohort: Cohort = None,
) -> None:
    """Grade each learner's last attempt and show the scores."""
    with _Session() as client:
        with Steps(out).step(_("Grade {what}", what=f"{course}/{assignment}")) as step:
            batch = client.grade(course, assignment, BY, again, cohort)
            if batch:
                follow(client, batch, step)
            else:
                step.note(_("nothing new"))
        _show_results(client.results(course, assignment, cohort))


def release(course: Course, assignment: Assignment, cohort: Cohort = None) -> None:
    """Let learners read their feedback."""
    with _Session() as client:
        with Steps(out).step(_("Release {what}", what=f"{course}/{assignment}")) as step:
            batch = client.release_feedback(course, assignment, BY, cohort)
            if batch:
                follow(client, batch, step)
            else:
                step.note(_("nothing new"))
        _show_results(client.results(course, assignment, cohort))


def _show_results(results: list[Result]) -> None:
    out.print(results_table(results) if results else _("No submissions yet."))


def follow(client: GraderClient, batch: str, step: Step) -> Progress:
    """Show a batch until it is finished. Raises CliError when parts of it failed."""
    while True:
        progress = client.progress(batch)
        step.detail(_("{done} of {total}", done=progress.done, total=progress.total))
        if progress.finished:
            break
        time.sleep(_POLL_S)
    step.note(_("{done} of {total}", done=progress.done, total=progress.total))
    if progress.parked:
        reasons = "\n".join(dict.fromkeys(progress.reasons))
        raise CliError(
            _("{parked} of {total} failed:", parked=progress.parked, total=progress.total)
            + f"\n{reasons}",
            _("Look at the worker's log: {log}", log="logs/worker-1.log"),
        )
    return progress


def results_table(results: list[Result]) -> Table:
    """One row per learner."""
    table = Table(_("Cohort"), _("Learner"), _("Attempt"), _("Score"), _("State"), _("Remarks"))
    for result in results:
        score = "–" if result.score is None else f"{result.score:g} / {result.max_score or 0:g}"
        remarks = [_("late")] if result.late else []
        remarks += [result.reason] if result.reason else []
        remarks += [flag["message"] for flag in result.flags]
        table.add_row(
            Text(result.cohort or "–"),
            Text(result.username),
            str(result.attempt),
            score,
            _(STATES.get(result.state, result.state)),
            Text("; ".join(filter(None, remarks))),
        )
    return table


class _Session:
    """The grader service with the command line's key; its errors become CliError."""

    def __enter__(self) -> GraderClient:
        settings = core_settings.load()
        self.settings = settings
        self.client = grader_client(settings)
        return self.client

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.client.close()
        if isinstance(error, GraderRefused):
            raise CliError(str(error)) from None
        if isinstance(error, GraderUnavailable):
            raise CliError(str(error), _("Is the platform up? ./dli status")) from None


def grader_client(settings: Settings) -> GraderClient:
    """The grader service with the command line's own key."""
    url = f"http://127.0.0.1:{settings.ports.grader}/services/grader"
    return GraderClient(url, own_key(settings), language=language())


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    commands: list[tuple[Callable[..., None], str]] = [
        (publish, _("Hand an assignment out to the learners.")),
        (grade, _("Grade every new submission and show the scores.")),
        (release, _("Let learners read their feedback.")),
    ]
    for command, help_text in commands:
        app.command(help=help_text)(command)
