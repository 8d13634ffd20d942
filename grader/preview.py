"""What learners would get if an assignment were published now; and its solution, to read later.

Made by the very function that publishes, on a folder that is thrown away. No learner's code runs.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import nbformat

from core.course import Assignment, Course
from core.i18n import LANGUAGES, N_
from grader.blobs import Blobs
from grader.exchange import archive
from grader.gradebook import CourseBook
from grader.material import translate_release

_MARKS = {
    "solution": "BEGIN SOLUTION",
    "hidden": "BEGIN HIDDEN TESTS",
    "scheme": "BEGIN MARK SCHEME",
}
_MARK_LINE = re.compile(r"^.*(BEGIN|END) SOLUTION.*\n?", re.MULTILINE)
_KEPT = 16
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class File:
    """One file of what learners get."""

    name: str
    size: int


@dataclass(frozen=True)
class Stripped:
    """How often a notebook's source holds what learners do not get."""

    notebook: str
    solutions: int
    hidden_tests: int
    mark_schemes: int
    outputs: int


@dataclass(frozen=True)
class Preview:
    """A release that was not published. `archives`: tar files by language."""

    fingerprint: str
    notebooks: list[str]
    archives: dict[str, bytes]
    stripped: list[Stripped]
    left_out: list[str]
    """Files beside the source that learners do not get."""

    def files(self, language: str) -> list[File]:
        """What is in the archive."""
        with tarfile.open(fileobj=io.BytesIO(self.archives[language])) as tar:
            return [File(one.name, one.size) for one in tar if one.isfile()]

    def read(self, language: str, name: str) -> bytes:
        """One file. Raises KeyError."""
        return member(self.archives[language], name)


_known: OrderedDict[tuple[str, str, str], Preview] = OrderedDict()


def fingerprint(course: Course, assignment: str) -> str:
    """Changes when anything that a release is made of changes."""
    digest = hashlib.sha256()
    inside = [course.folder / "assignments" / assignment]
    inside += [course.folder / "locale" / lang / "assignments" / assignment for lang in LANGUAGES]
    files = [path for folder in inside for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        digest.update(str(path.relative_to(course.folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


def make(course: Course, assignment: Assignment) -> Preview:
    """The preview of what lies in the course's folder now. Raises publish.Unpublishable."""
    from grader import publish  # late: nbgrader takes a second to import

    mark = fingerprint(course, assignment.id)
    key = (course.id, assignment.id, mark)
    with _one_at_a_time:
        if key not in _known:
            with tempfile.TemporaryDirectory(prefix="dli-preview-") as scratch:
                book = CourseBook.of(Path(scratch), course.id)
                blobs = Blobs(Path(scratch) / "blobs")
                names, archives = publish.publish(book, course, assignment, blobs)
                made = {language: blobs.read(sha256) for language, sha256 in archives.items()}
            _known[key] = _preview(course, assignment.id, mark, names, made)
            while len(_known) > _KEPT:
                _known.popitem(last=False)
        return _known[key]


def _preview(
    course: Course, assignment: str, mark: str, names: list[str], made: dict[str, bytes]
) -> Preview:
    source = course.folder / "assignments" / assignment
    with tarfile.open(fileobj=io.BytesIO(made["en"])) as tar:
        given = set(tar.getnames())
    files = [p.relative_to(source) for p in sorted(source.rglob("*")) if p.is_file()]
    left_out = [str(p) for p in files if str(p) not in given and "__pycache__" not in p.parts]
    return Preview(mark, names, made, [_stripped(source, name) for name in names], left_out)


def _stripped(source: Path, name: str) -> Stripped:
    cells = nbformat.read(source / f"{name}.ipynb", as_version=4).cells
    counts = {key: sum(c.source.count(text) for c in cells) for key, text in _MARKS.items()}
    outputs = sum(bool(c.get("outputs")) for c in cells)
    return Stripped(name, counts["solution"], counts["hidden"], counts["scheme"], outputs)


def solution(course: Course, assignment: Assignment) -> dict[str, bytes]:
    """Tar files by language of the solved version, without hidden tests and outputs.

    Hidden tests stay hidden, since the next cohort is graded by them, too.
    Raises publish.Unpublishable for a source that cannot be read, CourseError for a text that has
    no translation.
    """
    from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, ClearOutput

    from grader.publish import Unpublishable

    source = course.folder / "assignments" / assignment.id
    made = {}
    for language in LANGUAGES:
        with tempfile.TemporaryDirectory(prefix="dli-solution-") as scratch:
            folder = Path(scratch)
            for path in course.notebooks("assignments", assignment.id):
                try:
                    notebook = nbformat.read(path, as_version=4)
                    for step in (ClearOutput(), ClearHiddenTests(), ClearMarkScheme()):
                        notebook, _resources = step.preprocess(notebook, {})
                except Exception as error:  # nbgrader raises RuntimeError and others
                    text = N_("%(file)s: not a readable notebook: %(detail)s")
                    raise Unpublishable(text, file=str(path), detail=str(error)) from error
                for cell in notebook.cells:
                    cell.source = _MARK_LINE.sub("", cell.source).rstrip("\n")
                nbformat.write(notebook, folder / path.name)
            _copy_others(source, folder)
            translate_release(course, assignment.id, language, folder)
            made[language] = archive.build(folder)
    return made


def _copy_others(source: Path, folder: Path) -> None:
    for name, path in archive.files_of(source).items():
        if not name.endswith(".ipynb"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def notebooks_of(tar: bytes) -> list[str]:
    """Names of the notebooks in an archive, without ``.ipynb``."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return sorted(n.removesuffix(".ipynb") for n in opened.getnames() if n.endswith(".ipynb"))


def member(tar: bytes, name: str) -> bytes:
    """One file of an archive. Raises KeyError."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        found = opened.extractfile(name)
        if found is None:
            raise KeyError(name)
        return found.read()
