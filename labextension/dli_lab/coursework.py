"""Assignments in the lab: list, fetch, validate, submit, feedback, and restore a submitted version.

Each function takes the reader's language and answers a JSON object; what cannot be is a sentence
under ``error``. They block, so the handlers call them in a thread. The grader service says what is
open, due and left; the learner's files are never changed but by `restore`, which keeps them beside.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grader.exchange.client import Client

log = logging.getLogger(__name__)

LOCALE = Path(__file__).parent / "locale"
VALIDATE_S = 600

Json = dict[str, Any]


class Problem(Exception):
    """A sentence in the reader's language."""


def _answers(function: Callable[..., Json]) -> Callable[..., Json]:
    """Turns what may go wrong into ``{"error": sentence}``."""

    @wraps(function)
    def answer(language: str, *given: str) -> Json:
        from grader.exchange import archive
        from grader.exchange.client import Refused, Unavailable

        try:
            return function(language, *given)
        except archive.NotRegular as error:
            text = _say(
                "{name} is a link or a special file. Only regular files can be submitted: "
                "replace it by a copy or remove it.",
                language,
            )
            return {"error": text.format(name=error.name)}
        except (Refused, Unavailable, Problem) as error:
            return {"error": str(error)}
        except OSError as error:
            text = _say("Your files could not be read: {problem}", language)
            return {"error": text.format(problem=error)}

    return answer


@_answers
def listing(language: str) -> Json:
    """The course's published assignments, each with its folder below the home when it is there."""
    course = os.environ.get("DLI_COURSE", "")
    found = _client(language).assignments(course)
    for item in found:
        folder = _folder(item["course"], item["assignment"])
        item["folder"] = _below_home(folder) if folder.is_dir() else ""
    return {"assignments": found, "current": os.environ.get("DLI_ASSIGNMENT", "")}


@_answers
def fetch(language: str, course: str, assignment: str) -> Json:
    """Put the published files into the assignment's folder; files that are there stay."""
    from grader.exchange import archive

    folder = _folder(course, assignment)
    archive.unpack(_client(language).release(course, assignment), folder, only_missing=True)
    return {"folder": _below_home(folder)}


@_answers
def submit(language: str, course: str, assignment: str) -> Json:
    """Hand the folder in as it is; ``receipt``."""
    folder = _present(language, course, assignment)
    receipt = _client(language, patient=True).submit_folder(course, assignment, folder)
    return {"receipt": asdict(receipt)}


@_answers
def restore(language: str, course: str, assignment: str, submission: str) -> Json:
    """Bring a submitted version back. What is in the folder now is kept in another one."""
    from grader.exchange import archive

    content = _client(language).submission(submission)
    folder, kept = _folder(course, assignment), ""
    if folder.exists():
        beside = _beside(folder)
        folder.rename(beside)
        kept = _below_home(beside)
    try:
        archive.unpack(content, folder)
    except BaseException:
        if kept:
            (Path.home() / kept).rename(folder)
        raise
    return {"folder": _below_home(folder), "kept": kept}


@_answers
def validate(language: str, course: str, assignment: str) -> Json:
    """Run the visible tests of each notebook in a process of its own; what failed."""
    folder = _present(language, course, assignment)
    notebooks = sorted(path for path in folder.glob("*.ipynb") if not path.name.startswith("."))
    if not notebooks:
        raise Problem(
            _say("There is no notebook in {folder}.", language).format(folder=folder.name)
        )
    return {"notebooks": [_validated(language, path) for path in notebooks]}


def feedback(language: str, submission: str, notebook: str) -> bytes:
    """A released feedback page, hostile HTML. Raises Refused or Unavailable."""
    return _client(language).feedback(submission, notebook)


def _validated(language: str, notebook: Path) -> Json:
    """One notebook's result. nbgrader stays out of this process: it is heavy."""
    command = ["nice", "-n", "5", sys.executable, "-m", "dli_lab.validating", str(notebook)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=VALIDATE_S, cwd=notebook.parent, check=False
        )
        result: Json = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        text = _say("{name} ran longer than {minutes} minutes and was stopped.", language)
        raise Problem(text.format(name=notebook.name, minutes=VALIDATE_S // 60)) from None
    except ValueError:
        log.warning("%s: %s", notebook.name, done.stderr[-4000:].decode("utf-8", "replace"))
        text = _say("{name} could not be checked. Does it run from top to bottom?", language)
        raise Problem(text.format(name=notebook.name)) from None
    return {"name": notebook.name, **result}


def _client(language: str, patient: bool = False) -> Client:
    """`patient`: it outlasts a restart of the service; else the reader soon hears of it."""
    from grader.exchange.client import QUICK, Client

    environment = {**os.environ, "DLI_LANG": language}
    if patient:
        return Client.from_environment(environment)
    return Client.from_environment(environment, delays=QUICK)


def _folder(course: str, assignment: str) -> Path:
    return Path.home() / course / assignment


def _present(language: str, course: str, assignment: str) -> Path:
    folder = _folder(course, assignment)
    if not folder.is_dir():
        text = _say("There is no folder {folder}. Fetch the assignment first.", language)
        raise Problem(text.format(folder=f"{course}/{assignment}"))
    return folder


def _beside(folder: Path) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    return folder.with_name(f"{folder.name}-before-{stamp}")


def _below_home(path: Path) -> str:
    return path.relative_to(Path.home()).as_posix()


def _say(message: str, language: str) -> str:
    from core import i18n

    return i18n.translations(LOCALE, language).gettext(message)
