"""The `./dli` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli import bench, course, coursework
from cli.console import err, out
from cli.errors import explain
from cli.steps import Steps
from cli.text import _
from cli.wrong_settings import check_named
from core import settings as core_settings
from core.settings import ROOT

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=_("DLI Labs: courses with GPU labs on your own machines."),
)


@app.command(help=_("Bring the platform up; prints the address and the demo sign-ins."))
def up(
    demo: Annotated[bool, typer.Option(help=_("Make the demo cohort and its people"))] = True,
) -> None:
    """Write dli.toml the first time, then every step of cli.up."""
    from cli import first_run, show
    from cli.image_parts import has_gpu
    from cli.up import bring_up

    steps = Steps(out)
    with steps.step(_("Settings")) as step:
        written = first_run.ensure_settings_file(has_gpu())
        settings = core_settings.load()
        check_named(settings)
        step.note(str(written or core_settings.settings_file()))
    show.platform(out, bring_up(settings, steps, unit=True, demo=demo))


@app.command(help=_("Stop the platform. Data stays, unless --purge."))
def down(
    purge: Annotated[bool, typer.Option("--purge", help=_("Remove all data too"))] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_("Do not ask"))] = False,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help=_("With --purge: leave the container images"))
    ] = False,
) -> None:
    """Stop; with --purge ask and remove."""
    from cli import down as steps_down

    settings, steps = core_settings.load(), Steps(out)
    if purge and not yes:
        out.print(_("This removes every submission, grade and home folder of this instance:"))
        out.print(Text(f"  {settings.instance}  {settings.state_dir}", style="bold"))
        typer.confirm(_("Remove it all?"), abort=True)
    steps_down.bring_down(settings, steps)
    if purge:
        ours = steps_down.settings_file_is_ours()
        steps_down.purge(settings, steps, images=not keep_images)
        if ours:
            core_settings.settings_file().unlink()
    steps_down.leave_engine(settings, steps)


@app.command(help=_("Keep everything in one file; the platform may run meanwhile."))
def backup(
    file: Annotated[Path, typer.Argument(help=_("A new file, such as dli-2026-11-22.tar.gz"))],
    with_homes: Annotated[
        bool, typer.Option("--homes/--no-homes", help=_("Also every learner's home folder"))
    ] = False,
    with_secrets: Annotated[
        bool,
        typer.Option(
            "--secrets/--no-secrets", help=_("Also the keys: without them old receipts fail")
        ),
    ] = True,
) -> None:
    """Databases, submissions, gradebooks; with what is asked for."""
    from cli import backup as archive

    settings = core_settings.load()
    with Steps(out).step(_("Back up {instance}", instance=settings.instance)) as step:
        done = archive.make(
            settings, file, with_secrets=with_secrets, with_homes=with_homes, report=step.detail
        )
        step.note(_("{count} files, {size:.1f} MB", count=done["files"], size=done["bytes"] / 1e6))


@app.command(help=_("Put a backup into an instance that holds nothing yet."))
def restore(file: Annotated[Path, typer.Argument(help=_("A file made by ./dli backup"))]) -> None:
    """Then `./dli up`."""
    from cli import restore as archive

    settings = core_settings.load()
    with Steps(out).step(_("Restore {instance}", instance=settings.instance)) as step:
        manifest = archive.restore(settings, file, step.detail)
        step.note(_("as of {time}", time=manifest["made_at"]))
    out.print(_("Now start it: ./dli up"))


@app.command(help=_("What runs, since when, and where."))
def status() -> None:
    """A table of the processes. Exit code 1 when the platform is not up."""
    from cli import show

    raise typer.Exit(0 if show.status(out, core_settings.load()) else 1)


@app.command(help=_("What is present, missing or simulated on this machine, and what to do."))
def doctor() -> None:
    """Exit code 1 when something required is missing."""
    from cli import doctor as checks
    from cli import show

    found = checks.examine()
    show.doctor(out, found)
    raise typer.Exit(1 if any(check.blocks for check in found) else 0)


@app.command(help=_("The demo's people."))
def demo(
    reset_passwords: Annotated[
        bool, typer.Option("--reset-passwords", help=_("Give them new passwords and show them"))
    ] = False,
) -> None:
    """Show the demo; passwords only when just set."""
    from cli import demo as demo_people
    from cli import show

    settings = core_settings.load()
    made = (
        demo_people.reset_passwords(settings)
        if reset_passwords
        else demo_people.ensure_demo(settings, lambda _line: None)
    )
    show.demo(out, settings, made)


@app.command(
    help=_("Run every check and test. Words after it go to pytest; then only pytest runs."),
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def test(context: typer.Context) -> None:
    """Bring up what the tests need, run them, leave nothing behind."""
    from cli.testing import run

    raise typer.Exit(run(out, list(context.args)))


@app.command(help=_("Known holes in the Python and npm packages that we pin."))
def audit() -> None:
    """Exit code 1 when there are any, or when a registry does not say."""
    from cli import audit as packages

    bad = packages.run(core_settings.load())
    if bad:
        out.print(_("Known holes, or no answer: {names}", names=", ".join(bad)))
    raise typer.Exit(1 if bad else 0)


@app.command(help=_("Resolve the Python packages anew and rewrite requirements.lock."))
def lock() -> None:
    """For maintainers."""
    from cli import lock as pins

    with Steps(out).step(_("Pin the Python packages")) as step:
        step.note(str(pins.refresh(step.detail)))


coursework.add_to(app)
bench.add_to(app)
app.add_typer(course.app, name="course")


def main() -> None:
    """Run the command; an expected error is a sentence on standard error and exit code 1."""
    sys.path.insert(0, str(ROOT))  # for benchmarks/, which are no installed package
    try:
        app(prog_name="./dli")
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        err.print(Text(str(told), style="red"), soft_wrap=True)
        if told.remedy:
            err.print(Text(told.remedy), soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
