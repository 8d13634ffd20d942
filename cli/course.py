"""`./dli course`: check, new, texts, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.console import out
from cli.errors import CliError
from cli.steps import Steps
from cli.text import _, language
from core import settings as core_settings
from core.course import Course, CourseError, load
from core.i18n import LANGUAGES, translations
from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help=_("Write and check courses."))


@app.command(help=_("Check a course: files, cells, texts, links, then run its notebooks."))
def check(
    course_id: Annotated[str, typer.Argument(metavar="COURSE")],
    run: Annotated[bool, typer.Option(help=_("Run the notebooks in the grading sandbox"))] = True,
) -> None:
    """Exit code 1 when something is wrong."""
    settings = core_settings.load()
    steps = Steps(out)
    with steps.step("course.toml") as step:
        course = _load(settings, course_id)
        step.note(course.title.in_("en"))
    sound = _static(course, steps)
    if run and sound:
        sound = _rehearse(course, settings, steps)
    if not sound:
        raise typer.Exit(1)
    out.print(Text(_("{id} is ready.", id=course_id), style="bold green"))


@app.command(help=_("Make a new course that works at once, to be filled."))
def new(
    course_id: Annotated[str, typer.Argument(metavar="COURSE")],
    title: Annotated[str, typer.Option(help=_("Its title; change it in course.toml later"))] = "",
) -> None:
    """A skeleton with one lab and one graded assignment."""
    from cli.course_skeleton import create

    settings = core_settings.load()
    try:
        folder = create(settings.courses_dir, course_id, title or course_id)
    except FileExistsError:
        raise CliError(
            _("{folder} is there already.", folder=settings.courses_dir / course_id),
            _("Choose another id, or edit what is there."),
        ) from None
    except ValueError as error:
        raise CliError(f"{course_id}: {error}") from None
    out.print(_("Written: {folder}", folder=folder), soft_wrap=True)
    out.print(_("Next: ./dli course check {id}", id=course_id))


@app.command(help=_("Bring a course's translation files up to date with its notebooks."))
def texts(course_id: Annotated[str, typer.Argument(metavar="COURSE")]) -> None:
    """New texts are added empty, changed ones marked fuzzy, dropped ones removed."""
    from grader import catalogue, translate
    from grader.course_checks import SOURCE_LANGUAGE
    from grader.material import read_notebook

    course = _load(core_settings.load(), course_id)
    for file in _notebooks(course):
        found = translate.messages(read_notebook(file))
        for target in LANGUAGES:
            if target == SOURCE_LANGUAGE:
                continue
            po = catalogue.path(course.folder, target, file)
            source = file.relative_to(course.folder).as_posix()
            waiting = catalogue.merge(po, found, source, target)
            if waiting:
                line = _("{file}: {count} texts to translate", file=po, count=waiting)
                out.print(line, soft_wrap=True)
    out.print(_("The translation files are up to date."))


@app.command(name="import", help=_("Make a course out of an nbgrader course folder."))
def import_(
    folder: Annotated[Path, typer.Argument(help=_("The folder that holds source/"))],
    course_id: Annotated[str, typer.Argument(metavar="COURSE")],
    title: Annotated[str, typer.Option(help=_("Its title; change it in course.toml later"))] = "",
) -> None:
    """Notebooks as English originals, Korean texts empty. Nothing of the folder is run."""
    from cli.course_import import ImportFailed, take_over

    courses = core_settings.load().courses_dir
    try:
        made = take_over(folder.resolve(), courses, course_id, title)
    except FileExistsError:
        raise CliError(
            _("{folder} is there already.", folder=courses / course_id),
            _("Choose another id, or edit what is there."),
        ) from None
    except ImportFailed as error:
        raise CliError(str(error), error.remedy) from None
    except ValueError as error:
        raise CliError(f"{course_id}: {error}") from None
    out.print(_("Written: {folder}", folder=made.folder), soft_wrap=True)
    for note in made.notes:
        out.print(Text(note, style="yellow"), soft_wrap=True)
    line = _("{notebooks} notebooks, {texts} texts to translate into Korean in locale/ko.",
             notebooks=made.notebooks, texts=made.texts)  # fmt: skip
    out.print(line, soft_wrap=True)
    out.print(_("Next: ./dli course check {id}", id=course_id))


def _load(settings: Settings, course_id: str) -> Course:
    folder = settings.courses_dir / course_id
    if not folder.is_dir():
        known = ", ".join(sorted(p.parent.name for p in settings.courses_dir.glob("*/course.toml")))
        raise CliError(
            _("There is no course {id} in {folder}.", id=course_id, folder=settings.courses_dir),
            _("Courses there: {known}", known=known or "–"),
        )
    try:
        return load(folder, settings.labs.images)
    except CourseError as error:
        raise CliError(str(error)) from None


def _notebooks(course: Course) -> list[Path]:
    labs = [
        f for lab in course.labs if not lab.assignment for f in course.notebooks("labs", lab.id)
    ]
    return labs + [f for a in course.assignments for f in course.notebooks("assignments", a.id)]


def _static(course: Course, steps: Steps) -> bool:
    from grader.course_checks import problems

    words = translations(core_settings.ROOT / "grader" / "locale", language())
    with steps.step(_("Cells, texts and links")) as step:
        found = problems(course)
        errors = [problem for problem in found if problem.weight == "error"]
        step.note(_("{count} notebooks", count=len(_notebooks(course))))
    for problem in found:
        sentence = words.gettext(problem.text).format(**problem.values)
        place = str(problem.file.relative_to(course.folder))
        where = _("{file}, cell {cell}", file=place, cell=problem.cell) if problem.cell else place
        colour = "red" if problem.weight == "error" else "yellow"
        out.print(Text.assemble((where, colour), ": ", sentence), soft_wrap=True)
    return not errors


def _rehearse(course: Course, settings: Settings, steps: Steps) -> bool:
    from grader import rehearsal
    from grader.protocol import SandboxError
    from grader.zygote.sandbox import ZygoteSandbox

    table = Table(_("Notebook"), _("Run"), _("Points"), _("Seconds"))
    wrong: list[str] = []

    def note(run: rehearsal.Run, kind: str, points: str, bad: list[str]) -> None:
        table.add_row(run.file.stem, kind, points, f"{run.seconds:.1f}")
        wrong.extend(f"{run.file.stem}, {kind}: {sentence}" for sentence in bad)

    step_name = _("Run every notebook in the sandbox")
    with steps.step(step_name) as step, ZygoteSandbox(settings) as sandbox:
        try:
            for lab in course.labs:
                for file in [] if lab.assignment else course.notebooks("labs", lab.id):
                    step.detail(file.stem)
                    run = rehearsal.lab(course, file, sandbox)
                    note(run, _("lab"), "–", run.errors)
            for item in course.assignments:
                for file in course.notebooks("assignments", item.id):
                    step.detail(file.stem)
                    full = rehearsal.solution(item, file, sandbox)
                    score = f"{full.points:g} / {full.possible:g}"
                    note(full, _("solution"), score, full.errors)
                    none = rehearsal.unsolved(item, file, sandbox)
                    extra = _("earns {points:g} points without any work", points=none.points)
                    score = f"{none.points:g} / {none.possible:g}"
                    note(none, _("unsolved"), score, [extra] if none.points else [])
        except SandboxError as error:
            raise CliError(
                str(error), _("./dli up builds the image; --no-run checks without running.")
            ) from None
    out.print(table)
    for sentence in wrong:
        out.print(Text(sentence, style="red"), soft_wrap=True)
    return not wrong
