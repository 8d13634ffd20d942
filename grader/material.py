"""Course material in the learner's language, as lab containers mount it read-only.

    <state_dir>/materials/<course>/<language>/
      README.md                       welcome page
      <lab>/<notebook>.ipynb          exercises without their solutions
      <lab>/solutions/<notebook>.ipynb  the same with them (only where there are exercises)
      <lab>/…                         every other file of the lab's folder

A build changes nothing when the course did not change. It never leaves half a file, and never
swaps the folder itself, for running labs have it mounted.
"""

from __future__ import annotations

import copy
import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from core.course import Course, CourseError, Lab, load_all
from core.i18n import LANGUAGES, N_, translations
from core.settings import Settings
from grader import catalogue, translate
from grader.explained import CourseFault

_FORMAT = "1"  # count up when the layout changes
_TEXTS = Path(__file__).parent / "locale"
_MARKS = re.compile(r"^[ \t]*#+ ?(BEGIN|END) SOLUTION[^\n]*\n?", re.MULTILINE)
_NOT_MATERIAL = {".ipynb_checkpoints", "__pycache__", "solutions"}


def build_all(settings: Settings) -> None:
    """Bring the material of every course up to date in both languages. Raises CourseError."""
    build_these(load_all(settings.courses_dir, settings.labs.images).values(), settings.state_dir)


def build_these(courses: Iterable[Course], state_dir: Path) -> None:
    """Bring the material of `courses` up to date in both languages.

    Raises CourseError after the sound courses were built, naming each that was not.
    """
    problems = []
    for course in courses:
        for language in LANGUAGES:
            try:
                build(course, language, state_dir / "materials" / course.id / language)
            except CourseError as error:
                problems.append(str(error))
    if problems:
        raise CourseError("\n".join(problems))


def build(course: Course, language: str, target: Path) -> bool:
    """Bring `target` up to date. True when something was written. Raises CourseError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp = target.parent / f".{language}.built"
    with _locked(target.parent / ".lock"):
        wanted = _fingerprint(course, language)
        if target.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
            return False
        files = contents(course, language)
        stamp.unlink(missing_ok=True)  # a build that dies half-way is done again
        _replace(target, files)
        stamp.write_text(wanted)
    return True


def contents(course: Course, language: str) -> dict[str, bytes]:
    """Every file of the material by relative path. Raises CourseError."""
    files = {"README.md": welcome(course, language).encode()}
    for lab in course.labs:
        if lab.assignment is not None:
            continue
        folder = course.folder / "labs" / lab.id
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if not file.is_file() or _NOT_MATERIAL & set(inside.parts):
                continue
            if file.suffix == ".ipynb":
                whole = in_language(course, file, language)
                files.update(
                    _lab_notebook(f"{lab.id}/{inside.parent.as_posix()}", file, whole, language)
                )
            else:
                files[f"{lab.id}/{inside.as_posix()}"] = file.read_bytes()
    return files


def in_language(course: Course, file: Path, language: str) -> translate.Notebook:
    """The source notebook `file` in `language`; as it is when the course has no such language.

    Raises CourseError.
    """
    return _translated(course, file, read_notebook(file), language)


def translate_release(course: Course, assignment: str, language: str, folder: Path) -> None:
    """Translate in place the release notebooks of `assignment` in `folder`.

    Grade cells and all metadata stay, so one gradebook grades every language. Raises CourseError.
    """
    for release in sorted(folder.glob("*.ipynb")):
        source = course.folder / "assignments" / assignment / release.name
        translated = _translated(course, source, read_notebook(release), language)
        _write_atomically(release, _dump(translated))


def read_notebook(file: Path) -> translate.Notebook:
    """A notebook in the current format. Raises CourseError."""
    try:
        notebook: translate.Notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, OSError, nbformat.ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        text = N_("%(file)s: not a readable notebook: %(detail)s")
        raise CourseFault(text, file=str(file), detail=reason) from None
    return notebook


def welcome(course: Course, language: str) -> str:
    """The course's first page: what it is about, its labs, how to work."""
    _ = translations(_TEXTS, language).gettext
    rows = [_lab_row(number, lab, language) for number, lab in enumerate(course.labs, 1)]
    hours = f"{course.hours:g}"
    parts = [
        f"# {course.title.in_(language)}",
        course.summary.in_(language),
        _("About {hours} hours in all.").format(hours=hours),
        "\n".join(
            [
                "| | "
                + _("Lab")
                + " | "
                + _("Minutes on a CPU")
                + " | "
                + _("Minutes on a GPU")
                + " |",
                "|---:|---|---:|---:|",
                *rows,
            ]
        ),
        "## " + _("How to work"),
        _(
            "Each lab has its folder here. Open its notebook and go from top to bottom. The files "
            "are yours: what you change stays, also when the lab is stopped. Delete or rename a "
            "notebook and start the lab again to get a fresh copy."
        ),
    ]
    if course.assignments:
        parts += [
            _(
                "Graded assignments are fetched and submitted in JupyterLab's assignment list "
                "(menu Nbgrader). A submission counts once you see its receipt."
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _lab_row(number: int, lab: Lab, language: str) -> str:
    title = lab.title.in_(language)
    name = title if lab.assignment else f"[{title}]({lab.id}/)"
    return f"| {number} | {name} | {lab.minutes.cpu} | {lab.minutes.gpu} |"


def _lab_notebook(
    prefix: str, file: Path, whole: translate.Notebook, language: str
) -> dict[str, bytes]:
    prefix = prefix.removesuffix("/.")
    exercise = _without_solutions(whole, language)
    files = {f"{prefix}/{file.name}": _dump(exercise)}
    if exercise != whole:
        files[f"{prefix}/solutions/{file.name}"] = _dump(_worked(whole))
    return files


def _without_solutions(notebook: translate.Notebook, language: str) -> translate.Notebook:
    from nbgrader.preprocessors import ClearSolutions  # late: importing nbgrader takes seconds

    _ = translations(_TEXTS, language).gettext
    todo = _("Your code here")
    clear = ClearSolutions(
        code_stub={"python": f"# {todo}\nraise NotImplementedError()"},
        enforce_metadata=False,
    )
    cleared: translate.Notebook = clear.preprocess(copy.deepcopy(notebook), {})[0]
    return cleared


def _worked(notebook: translate.Notebook) -> translate.Notebook:
    result = copy.deepcopy(notebook)
    for cell in result["cells"]:
        cell["source"] = _MARKS.sub("", cell["source"])
    return result


def _translated(
    course: Course, source: Path, notebook: translate.Notebook, language: str
) -> translate.Notebook:
    if language == "en" or not (course.folder / "locale" / language).is_dir():
        return notebook
    po = catalogue.path(course.folder, language, source)
    try:
        return translate.translate(notebook, catalogue.read(po))
    except translate.TranslationError as error:
        raise CourseFault(
            N_(
                "%(file)s: %(count)s texts have no translation; the first: %(first)s. Run "
                "./dli course texts %(course)s and translate what is new."
            ),
            file=str(po),
            count=len(error.missing),
            first=error.first,
            course=course.id,
        ) from None
    except ValueError as error:  # unreadable catalogue, a cell that is not Python
        raise CourseFault("%(file)s: %(detail)s", file=str(po), detail=str(error)) from None


def _dump(notebook: translate.Notebook) -> bytes:
    text: str = nbformat.writes(nbformat.from_dict(notebook))
    return (text.rstrip("\n") + "\n").encode()


def _fingerprint(course: Course, language: str) -> str:
    page = welcome(course, language)  # changes also when only our own words did
    digest = hashlib.sha256(f"{_FORMAT} {language} {page}".encode())
    for file in sorted(course.folder.rglob("*")):
        if file.is_file():
            digest.update(str(file).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _replace(target: Path, files: dict[str, bytes]) -> None:
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name, data in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(data)
        _readable(stage)
        if not target.exists():
            stage.rename(target)
            return
        for name in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).replace(target / name)
        _remove_others(target, set(files))
        _readable(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _remove_others(target: Path, names: set[str]) -> None:
    for path in sorted(target.rglob("*"), reverse=True):  # children before their folder
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif not path.is_dir() and path.relative_to(target).as_posix() not in names:
            path.unlink()


def _readable(folder: Path) -> None:
    """Labs read as another user than the one who builds."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def _write_atomically(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_bytes(data)
    temporary.replace(file)


@contextmanager
def _locked(file: Path) -> Iterator[Any]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
