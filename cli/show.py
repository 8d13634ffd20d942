"""What the command prints besides steps: tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.demo import Demo
from cli.doctor import Check
from cli.supervised import Supervised
from cli.supervisor import run_dir
from cli.text import _
from cli.up import Platform
from core.settings import Settings

_COLOURS = {"RUNNING": "green", "STARTING": "yellow", "BACKOFF": "yellow"}


def platform(console: Console, up: Platform) -> None:
    """Where the platform is and who may sign in."""
    console.print()
    if up.demo:
        demo(console, up.settings, up.demo)
    else:
        _address(console, up.settings)


def demo(console: Console, settings: Settings, people: Demo) -> None:
    """The three sign-ins; passwords only when they were just set."""
    _address(console, settings)
    table = Table(_("Sign-in"), _("Password"), _("Role"))
    roles = {"trainee": _("trainee"), "instructor": _("instructor"), "admin": _("admin")}
    for name, role in people.people.items():
        table.add_row(name, people.passwords.get(name, _("unchanged")), roles.get(role, role))
    console.print(table)
    if people.passwords:
        console.print(_("These passwords are shown only now."))
    else:
        console.print(_("Forgotten? ./dli demo --reset-passwords"))
    console.print(_("Event code for more trainees: {code}", code=people.event_code))


def _address(console: Console, settings: Settings) -> None:
    console.print(Text.assemble(f"{settings.site.name}: ", (settings.public_url, "bold cyan")))


def status(console: Console, settings: Settings) -> bool:
    """The processes; False when the platform does not run."""
    supervised = Supervised(run_dir(settings))
    if not supervised.running():
        console.print(
            _("{instance} is not running. Start it: ./dli up", instance=settings.instance)
        )
        return False
    table = Table(_("Process"), _("State"), "PID", _("Since"))
    states = supervised.states()
    for state in states:
        colour = _COLOURS.get(state.state, "red")
        since = f"{state.seconds // 3600}:{state.seconds // 60 % 60:02}:{state.seconds % 60:02}"
        table.add_row(
            state.name, Text(state.state.lower(), style=colour), str(state.pid or "–"), since
        )
    console.print(table)
    labs = _lab_count(settings)
    if labs is not None:
        console.print(_("Running labs: {count}", count=labs))
    _address(console, settings)
    return all(state.state == "RUNNING" for state in states)


def _lab_count(settings: Settings) -> int | None:
    from cli import engine

    try:
        client = engine.connect()
    except engine.EngineDown:
        return None
    labels = [f"dli.instance={settings.instance}", "dli.kind=lab"]
    return len(client.containers.list(filters={"label": labels}))


def doctor(console: Console, checks: list[Check]) -> None:
    """What each check found, and the remedy of each that needs one."""
    words = {
        "ok": (_("present"), "green"),
        "simulated": (_("simulated"), "cyan"),
        "warning": (_("note"), "yellow"),
        "missing": (_("missing"), "red"),
    }
    table = Table(_("What"), _("State"), _("Found"), _("What to do"))
    for check in checks:
        word, colour = words[check.state]
        table.add_row(check.name, Text(word, style=colour), check.found, check.remedy)
    console.print(table)
