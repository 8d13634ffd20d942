"""Somebody new in a lab without a GPU."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e import lab
from tests.e2e.conftest import Visitor
from tests.people import Person
from tests.platform import RunningPlatform

PASSWORD = "Every-Monday-43"
COURSE = "intro-dl"
PLAIN_LAB = "01-training-by-hand"
"""A lab without an assignment: nothing is fetched at its start."""

Visit = Callable[..., Visitor]


def sign_up(platform: RunningPlatform, name: str, language: str) -> Person:
    """A new trainee of the demo's cohort, at a browser in this language."""
    person = Person(platform.url, language)
    given = {"code": platform.event_code, "username": name, "name": "김하나"}
    given |= {"email": f"{name}@example.org", "password": PASSWORD, "password_again": PASSWORD}
    person.submit("/hub/signup", given | {"consent": "course"}, "signup")
    return person


def in_lab(person: Person, name: str, visit: Visit, language: str) -> Visitor:
    """Their lab without a GPU, open in a browser."""
    person.start_lab(COURSE, PLAIN_LAB, gpu=False)
    person.lab_ready(name, 120)
    visitor = visit(name, language, password=PASSWORD)
    visitor.open(f"/user/{name}/lab")
    lab.wait_open(visitor.page, name)
    return visitor
