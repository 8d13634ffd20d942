"""Makes a course out of an nbgrader course folder: `./dli course import`.

Taken over are `source/<assignment>/` with its notebooks and the files beside them, and the name in
`nbgrader_config.py` where it is written there as plain text. That file is Python: it is read, never
run. English is taken for the notebooks' language; every Korean text is left empty, so that the
check names what is to be translated.
"""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from cli.text import _
from core.ids import is_id, slug

_LEFT_OUT = {".ipynb_checkpoints", "__pycache__"}


class ImportFailed(ValueError):
    """Why a folder cannot be taken over; `remedy`: what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True)
class Imported:
    """A course that was written: its folder, texts that wait for Korean, what was left out."""

    folder: Path
    notebooks: int
    texts: int
    notes: list[str] = field(default_factory=list)


def take_over(source: Path, courses_dir: Path, course_id: str, title: str = "") -> Imported:
    """Write the course `course_id` from the nbgrader folder `source`; half a course is never left.

    Raises ImportFailed, FileExistsError when the course is there, ValueError for a wrong id.
    """
    if not is_id(course_id):
        raise ValueError("use 1 to 40 of a-z, 0-9 and '-', not beginning or ending with '-'")
    folder = courses_dir / course_id
    if folder.exists():
        raise FileExistsError(folder)
    found = _assignments(source)
    name = (title or course_name(source) or course_id).strip()
    stage = courses_dir / f".{course_id}.import"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        result = _write(stage, found, course_id, name)
        stage.rename(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Imported(folder, result.notebooks, result.texts, [*result.notes, *_strays(source)])


def course_name(source: Path) -> str:
    """`c.CourseDirectory.course_id` in nbgrader_config.py; empty when it is not plain text."""
    try:
        tree = ast.parse((source / "nbgrader_config.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)):
            continue
        target = node.targets[0]
        if isinstance(target, ast.Attribute) and target.attr == "course_id":
            return str(node.value.value) if isinstance(node.value.value, str) else ""
    return ""


def _assignments(source: Path) -> dict[str, Path]:
    """The folders of `source/` that hold notebooks, by the id that each will have."""
    root = source / "source"
    if not root.is_dir():
        raise ImportFailed(
            _("{folder} has no folder source/.", folder=source),
            _("Name the folder that holds nbgrader_config.py and source/."),
        )
    found: dict[str, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if not any(folder.glob("*.ipynb")) or folder.name in _LEFT_OUT:
            continue
        item = slug(folder.name)
        if item in found or not is_id(item):
            raise ImportFailed(
                _("{folder}: its name makes no id of its own ({id}).", folder=folder, id=item),
                _("Rename the folder and import again."),
            )
        found[item] = folder
    if not found:
        raise ImportFailed(
            _("{folder} holds no assignment.", folder=root),
            _("An assignment is a folder with at least one .ipynb file."),
        )
    return found


def _write(stage: Path, found: dict[str, Path], course_id: str, title: str) -> Imported:
    from grader import catalogue, translate

    notes: list[str] = []
    notebooks = texts = 0
    for item, origin in found.items():
        target = stage / "assignments" / item
        notes += _copy_others(origin, target)
        for file in sorted(origin.glob("*.ipynb")):
            notebook = _notebook(file)
            nbformat.write(notebook, target / file.name)
            waiting = dict.fromkeys(translate.messages(notebook), "")
            name = f"assignments/{item}/{file.name}"
            catalogue.write(catalogue.path(stage, "ko", target / file.name), waiting, name)
            notebooks, texts = notebooks + 1, texts + len(waiting)
    (stage / "course.toml").write_text(_toml(course_id, title, found), encoding="utf-8")
    return Imported(stage, notebooks, texts, notes)


def _notebook(file: Path) -> Any:
    """A notebook with nbgrader's metadata of today, without outputs."""
    from nbgrader.nbgraderformat import MetadataValidator  # late: importing nbgrader takes seconds

    try:
        notebook = nbformat.read(file, as_version=4)
        notebook = MetadataValidator().upgrade_notebook_metadata(notebook)
        notebook = nbformat.validator.normalize(notebook)[1]
        nbformat.validate(notebook)
        for cell in notebook.cells:
            _tidy(cell)
    except (OSError, ValueError, KeyError, nbformat.ValidationError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ImportFailed(
            _("{file} is not a notebook that can be read: {reason}", file=file, reason=reason),
            _("Open and save it in JupyterLab, then import again."),
        ) from None
    return notebook


def _tidy(cell: Any) -> None:
    """Outputs go. nbgrader locks every test, said or not: say it. Locked text could not be
    translated, and no test depends on it."""
    meta = cell.metadata.get("nbgrader", {})
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
        if meta.get("grade") and not meta.get("solution"):
            meta["locked"] = True
    elif meta.get("locked") and not meta.get("grade") and not meta.get("task"):
        meta["locked"] = False


def _copy_others(origin: Path, target: Path) -> list[str]:
    """Copy what lies beside the notebooks. Links are not followed: they could lead anywhere."""
    notes = []
    target.mkdir(parents=True)
    for path in sorted(origin.rglob("*")):
        inside = path.relative_to(origin)
        if _LEFT_OUT & set(inside.parts):
            continue
        if path.is_symlink() or any(parent.is_symlink() for parent in path.parents):
            notes.append(_("{file}: a link, left out.", file=path))
        elif path.is_file() and not (path.suffix == ".ipynb" and path.parent == origin):
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / inside)
    return notes


def _strays(source: Path) -> list[str]:
    """Notebooks beside the assignments, such as a header put before each of them."""
    return [
        _("{file}: belongs to no assignment, left out.", file=file)
        for file in sorted((source / "source").glob("*.ipynb"))
    ]


def _toml(course_id: str, title: str, found: dict[str, Path]) -> str:
    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML string

    parts = [
        "# Imported from an nbgrader course. What each key means: docs/how-to/write-a-course.md",
        "# To translate: each ko below, and the .po files in locale/ko.",
        f"id = {quoted(course_id)}\nhours = {len(found)}",
        'image = "lab-cpu"\ngpu_image = "lab-gpu"',
        f"title = {{ en = {quoted(title)}, ko = {quoted(title)} }}",
        f"summary = {{ en = {quoted(title)}, ko = {quoted(title)} }}",
    ]
    for item, folder in found.items():
        name = f"{{ en = {quoted(folder.name)}, ko = {quoted(folder.name)} }}"
        parts += [
            f'\n[[labs]]\nid = "{item}"\ntitle = {name}\nminutes = {{ cpu = 60, gpu = 60 }}',
            f'gpu = {{ need = "none" }}\nassignment = "{item}"',
        ]
    for item, folder in found.items():
        name = f"{{ en = {quoted(folder.name)}, ko = {quoted(folder.name)} }}"
        parts.append(f'\n[[assignments]]\nid = "{item}"\ntitle = {name}')
    return "\n".join(parts) + "\n"
