"""The demo: three people, one cohort with every course, a GPU-time budget and an event code.

Made once. What an admin changes later stays as it is; passwords are shown once and stored only as
the Hub's hashes.
"""

from __future__ import annotations

import json
import os
import secrets as random
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from cli.errors import CliError, own_key
from cli.steps import Report
from cli.text import _
from core import clock, course, units
from core.settings import Settings
from core.wire import Role
from usage.client import CohortSpec, UsageClient, UsageUnavailable

COHORT = "demo"
GPU_HOURS = "20"
SEATS = 30
PEOPLE: dict[str, Role] = {"trainee": "trainee", "instructor": "instructor", "admin": "admin"}

# No letter or digit that is read as another one.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class Demo:
    """The demo as it is. `passwords` holds only those set by this very call."""

    cohort: str
    event_code: str
    people: dict[str, str]
    """Sign-in name -> role."""
    passwords: dict[str, str] = field(default_factory=dict)


def new_password() -> str:
    """16 characters in groups of four; about 79 random bits."""
    text = "".join(random.choice(_ALPHABET) for _index in range(16))
    return "-".join(text[start : start + 4] for start in range(0, 16, 4))


def ensure_demo(settings: Settings, report: Report) -> Demo:
    """Create what is missing of the demo.

    Raises CliError before the first start, and when the usage service does not answer.

    Interrupted half-way, the next call goes on: the marker is written last.
    """
    marker = settings.state_dir / "run" / "demo.json"
    if marker.exists():
        return Demo(**json.loads(marker.read_text()))
    own_key(settings)  # nothing is written for a platform that was never started
    report(_("people"))
    passwords = {name: new_password() for name in PEOPLE}
    _set_passwords(settings, passwords)
    code = f"demo-{new_password()[:9]}"
    report(_("cohort"))
    try:
        _create_cohort(settings, code)
    except UsageUnavailable as error:
        raise CliError(
            _("The usage service refused the demo cohort: {error}", error=error)
        ) from None
    demo = Demo(COHORT, code, dict(PEOPLE))
    stored = {key: value for key, value in asdict(demo).items() if key != "passwords"}
    handle = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(stored, file)
    return Demo(COHORT, code, dict(PEOPLE), passwords)


def reset_passwords(settings: Settings) -> Demo:
    """New passwords for the demo's people."""
    demo = ensure_demo(settings, lambda _line: None)
    if demo.passwords:
        return demo
    passwords = {name: new_password() for name in demo.people}
    _set_passwords(settings, passwords)
    return Demo(demo.cohort, demo.event_code, demo.people, passwords)


def usage_client(settings: Settings) -> UsageClient:
    """The usage service with the command line's own key."""
    url = f"http://127.0.0.1:{settings.ports.usage}/services/usage"
    return UsageClient(url, own_key(settings), timeout=15)


def _create_cohort(settings: Settings, code: str) -> None:
    client = usage_client(settings)
    now = clock.now()
    spec = CohortSpec(
        id=COHORT,
        name="Demo",
        organisation="DLI Labs",
        starts=(now - timedelta(hours=1)).isoformat(timespec="seconds"),
        ends=(now + timedelta(days=365)).isoformat(timespec="seconds"),
        timezone=settings.site.timezone,
        courses=sorted(course.load_all(settings.courses_dir, settings.labs.images)),
    )
    client.create_cohort(spec)
    client.grant(COHORT, units.gpu_hours(GPU_HOURS), "dli up", "demo budget", "demo-budget")
    client.create_code(COHORT, code, SEATS)
    for name, role in PEOPLE.items():
        client.enrol(COHORT, name, role)
    client.close()


def _set_passwords(settings: Settings, passwords: dict[str, str]) -> None:
    from hub import users

    for name, password in passwords.items():
        users.create_user(settings, name, password, admin=PEOPLE.get(name) == "admin")
