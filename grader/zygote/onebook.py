"""One open gradebook for many nbgrader steps.

nbgrader opens a new engine, checks the schema and commits for every step and every cell, and asks
the database for each cell by name: about a tenth of a second per submission. Within `kept` its
steps find one gradebook, which knows what it was asked before, and `Kept.commit` writes a whole
submission in one transaction: all of its scores, or none. Its metadata check builds a validator per
cell; within `kept` there is one per schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from jsonschema.validators import validator_for  # type: ignore[import-untyped]
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.nbgraderformat import common
from nbgrader.preprocessors import (
    latesubmissions,
    overwritecells,
    overwritekernelspec,
    saveautogrades,
)
from sqlalchemy import text

from grader import gradebook as room
from grader.gradebook import CourseBook

_USERS = (latesubmissions, overwritecells, overwritekernelspec, saveautogrades, room)


class _Session:
    """nbgrader's session, with commits put off."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def commit(self) -> None:
        """Not yet; queries flush by themselves."""


class Kept(Gradebook):  # type: ignore[misc]
    """A gradebook that its users cannot close, and that asks for nothing twice.

    It is the only writer (`book.lock`), so what was read stays true until `rollback`.
    """

    def __init__(self, book: CourseBook) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}
        super().__init__(book.database, book.course)
        own: Any = self.db
        own().expire_on_commit = False
        if self.engine.dialect.name == "sqlite":  # a commit then waits for the disk only once
            own.execute(text("PRAGMA journal_mode=WAL"))
            own.commit()
        self.db: Any = _Session(own)

    def find_assignment(self, *key: str) -> Any:
        """As nbgrader's, once. So the next three, which are the same for every submission."""
        return self._once(super().find_assignment, key)

    def find_notebook(self, *key: str) -> Any:
        """Of the assignment."""
        return self._once(super().find_notebook, key)

    def find_source_cell(self, *key: str) -> Any:
        """Of the assignment."""
        return self._once(super().find_source_cell, key)

    def find_graded_cell(self, *key: str) -> Any:
        """Of the assignment."""
        return self._once(super().find_graded_cell, key)

    def find_submission(self, *key: str) -> Any:
        """Of one student; what belongs to it is read with it."""
        return self._once(super().find_submission, key)

    def find_submission_notebook(self, notebook: str, assignment: str, student: str) -> Any:
        """Found in the submission."""
        return _named(self.find_submission(assignment, student).notebooks, notebook)

    def find_grade(self, cell: str, *notebook: str) -> Any:
        """Found in the submission."""
        return _named(self.find_submission_notebook(*notebook).grades, cell)

    def find_comment(self, cell: str, *notebook: str) -> Any:
        """Found in the submission."""
        return _named(self.find_submission_notebook(*notebook).comments, cell)

    def _once(self, find: Any, key: tuple[str, ...]) -> Any:
        whole = (find.__name__, *key)
        if whole not in self._known:
            self._known[whole] = find(*key)
        return self._known[whole]

    def close(self) -> None:
        """Only `kept` closes it."""

    def commit(self) -> None:
        """Write what was done since the last call."""
        self.db.session.commit()

    def rollback(self) -> None:
        """Forget what was done since the last call."""
        self._known.clear()
        self.db.session.rollback()
        # An entry that was written, dropped from memory and read again is not known to be undone.
        self.db.session.expunge_all()


def _named(found: Any, name: str) -> Any:
    """The one of that name. Raises MissingEntry."""
    for one in found:
        if one.name == name:
            return one
    raise MissingEntry(f"No such entry: {name}")


class _NoEngine:
    @staticmethod
    def dispose() -> None:
        """Only `kept` does."""


class _Schemas:
    """jsonschema.validate as nbgrader calls it, with each schema checked and compiled once."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def validate(self, instance: Any, schema: Any) -> None:
        """Raises jsonschema.ValidationError."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._made:
            kind = validator_for(schema)
            kind.check_schema(schema)
            self._made[key] = kind(schema)
        error = best_match(self._made[key].iter_errors(instance))
        if error is not None:
            raise error


@contextmanager
def kept(book: CourseBook) -> Iterator[Kept]:
    """nbgrader's steps on `book` in this thread share one connection. Hold `book.lock`.

    Not for two books or two threads at once: nbgrader's modules are pointed at this gradebook.
    """
    gradebook = Kept(book)
    engine, session = gradebook.engine, gradebook.db.session
    gradebook.engine = _NoEngine

    def same(*_: object) -> Kept:
        return gradebook

    with ExitStack() as stack:
        stack.callback(engine.dispose)
        stack.callback(session.remove)
        for module in _USERS:
            stack.enter_context(mock.patch.object(module, "Gradebook", same))
        stack.enter_context(mock.patch.object(common, "jsonschema", _Schemas()))
        yield gradebook
