"""What a roster will do, row by row. Pure: the same rows and the same world give the same steps.

Who a row means: the person with its e-mail address, else with its user name unless that person has
another e-mail address. Addresses are not verified by anybody here, so an address alone makes
nobody an instructor: an admin confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from usage.roster.parse import Problem, Row

WRITES = ("enrol", "return", "change", "expect", "update", "confirm")
"""Steps that write something."""


@dataclass(frozen=True)
class Step:
    """One row, and what will be done with it.

    `act`: enrol, return (was removed), change (role), expect (has no account yet), update (is
    expected with another role or name), confirm (an admin has to), same, waits (is expected
    already) or out (left out, see `why`).
    """

    row: Row
    act: str
    who: str = ""
    """The person's user name here; empty when they have no account."""
    role: str = ""
    """Role after it."""
    before: str = ""
    """Role before it; empty when they had none."""
    why: Problem | None = None


@dataclass(frozen=True)
class World:
    """What the database knows, as far as a roster of one cohort needs it."""

    people: dict[str, str]
    """E-mail address (lower case, may be empty) by user name."""
    members: dict[str, tuple[str, bool]]
    """Role, and whether still a member, by user name."""
    expected: dict[tuple[str, str], tuple[str, str, str]]
    """Role, name and who arrived, by e-mail and user name of the roster."""
    by_email: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for username, email in self.people.items():
            if email:
                self.by_email.setdefault(email, []).append(username)


def plan(rows: Iterable[Row], world: World) -> list[Step]:
    """A step for every row, in the order of the file. No person is meant by two steps."""
    taken: dict[str, int] = {}
    steps = []
    for row in rows:
        step = _step(row, world)
        if step.who and step.act != "out":
            if step.who in taken:
                step = Step(row, "out", why=Problem("repeated", str(taken[step.who])))
            else:
                taken[step.who] = row.line
        steps.append(step)
    return steps


def _step(row: Row, world: World) -> Step:
    if row.problem is not None:
        return Step(row, "out", why=row.problem)
    who, why = _meant(row, world)
    if why is not None:
        return Step(row, "out", why=why)
    return _of_known(row, who, world) if who else _of_stranger(row, world)


def _meant(row: Row, world: World) -> tuple[str, Problem | None]:
    """The person meant; empty for nobody with an account."""
    same = world.by_email.get(row.email, []) if row.email else []
    if len(same) > 1 and row.username not in same:
        return "", Problem("ambiguous", ", ".join(sorted(same))[:80])
    if same:
        return (row.username if row.username in same else same[0]), None
    if row.username in world.people:
        theirs = world.people[row.username]
        if row.email and theirs:
            return "", Problem("other_email", row.username)
        return row.username, None
    return "", None


def _of_known(row: Row, who: str, world: World) -> Step:
    role, active = world.members.get(who, ("", False))
    wanted = row.role or role or "trainee"
    if active and wanted == role:
        return Step(row, "same", who, role, role)
    # Staff by a user name was named on purpose; by an address alone it has to be looked at.
    if wanted != "trainee" and row.username != who:
        key = _key(row, world)
        waits = key is not None and world.expected[key] == (wanted, row.name, who)
        return Step(row, "waits" if waits else "confirm", who, wanted, role if active else "")
    if active:
        return Step(row, "change", who, wanted, role)
    return Step(row, "return" if role else "enrol", who, wanted)


def _of_stranger(row: Row, world: World) -> Step:
    key = _key(row, world)
    if key is None:
        return Step(row, "expect", role=row.role or "trainee")
    role, name, _arrived = world.expected[key]
    wanted = row.role or role
    same = wanted == role and row.name in ("", name)
    return Step(row, "waits" if same else "update", role=wanted, before=role)


def _key(row: Row, world: World) -> tuple[str, str] | None:
    """Under which e-mail and user name this person is expected already."""
    for key in ((row.email, row.username), (row.email, ""), ("", row.username)):
        if any(key) and key in world.expected:
            return key
    return None


def expected_key(row: Row, world: World) -> tuple[str, str]:
    """Under which e-mail and user name to keep this person."""
    return _key(row, world) or (row.email, row.username)
