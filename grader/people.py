"""All coursework of one person as a file, and erasing the person from it.

Erased: what was handed in, what came of running it, feedback, comments, the gradebook's entry.
Kept under a pseudonym: attempts with their times, scores, certificates; so that figures stay right.
Every column that names a person is found by its name (`username`, `…_by`), also one that is added
later.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from nbgrader.api import MissingEntry
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from grader import audit
from grader.blobs import Blobs
from grader.gradebook import CourseBook
from grader.models import Base, Feedback, Mark, Score, Submission
from grader.submissions import student_id
from store.personal import name_columns


def export(session: Session, blobs: Blobs, username: str, out: IO[bytes]) -> None:
    """Write a ZIP of everything about this person: rows as JSON, submissions as they came."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        own = select(Submission).where(Submission.username == username)
        submissions = session.scalars(own.order_by(Submission.received_at)).all()
        ids = [row.id for row in submissions]
        about: dict[str, list[dict[str, Any]]] = {}
        for table, column in name_columns(Base.metadata):
            about.setdefault(table.name, []).extend(_rows(session, table, column == username))
        for name in (Score.__tablename__, Mark.__tablename__, Feedback.__tablename__):
            of_submissions = Base.metadata.tables[name]
            where = of_submissions.c.submission_id.in_(ids)
            about[name] = _rows(session, of_submissions, where)
        text = json.dumps(about, ensure_ascii=False, indent=1, default=str)
        made.writestr("coursework.json", text)
        for row in submissions:
            place = f"submissions/{row.course}/{row.assignment}/attempt-{row.attempt}.tar"
            made.writestr(place, blobs.read(row.sha256))
        for page, blob in session.execute(
            select(Feedback.notebook, Feedback.sha256).where(Feedback.submission_id.in_(ids))
        ):
            made.writestr(f"feedback/{blob[:12]}-{page}.html", blobs.read(blob))


def _rows(session: Session, table: Any, where: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(select(table).where(where))]


def erase(
    session: Session, blobs: Blobs, state_dir: Path, username: str, pseudonym: str, actor: str
) -> None:
    """Take the person out. Again is harmless. Blobs that nobody names any more go with the next
    sweep (grader.upkeep)."""
    ids = list(session.scalars(select(Submission.id).where(Submission.username == username)))
    if ids:
        empty = blobs.put(_empty_archive())
        own = update(Submission).where(Submission.username == username)
        session.execute(own.values(sha256=empty, size=0, notebooks=[]))
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            session.execute(delete(Feedback).where(Feedback.submission_id.in_(part)))
            session.execute(update(Mark).where(Mark.submission_id.in_(part)).values(comment=""))
            session.execute(update(Score).where(Score.submission_id.in_(part)).values(notebooks={}))
    audit.note(session, actor, "person.erase", "", pseudonym, submissions=len(ids))
    session.flush()
    for table, column in name_columns(Base.metadata):
        values: dict[str, Any] = {column.name: pseudonym}
        if column.name == "username" and "name" in table.c:
            values["name"] = ""
        if column.name == "target" and "reason" in table.c:
            values["reason"] = func.replace(table.c.reason, username, pseudonym)
        session.execute(update(table).where(column == username).values(values))
    _leave_gradebooks(state_dir, student_id(username))


def _empty_archive() -> bytes:
    out = BytesIO()
    tarfile.open(fileobj=out, mode="w").close()
    return out.getvalue()


def _leave_gradebooks(state_dir: Path, student: str) -> None:
    """Remove the person from nbgrader's own gradebooks and folders."""
    for folder in sorted((state_dir / "gradebooks").glob("*/")):
        whole = CourseBook(folder, folder.name)
        for book in (whole, *whole.cohorts()):
            if not (book.folder / "gradebook.db").exists():
                continue
            with book.lock():
                with book.open() as opened, contextlib.suppress(MissingEntry):
                    opened.remove_student(student)
                for step in ("submitted", "autograded", "feedback"):
                    shutil.rmtree(book.folder / step / student, ignore_errors=True)
