"""What can be wrong with a course's notebooks, found without running them.

Each problem names the file, the cell and what to do. `course.toml` itself is checked by
`core.course.load`; running the notebooks is `grader.rehearsal`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from core.course import Assignment, Course, CourseError
from core.i18n import LANGUAGES, N_
from grader import catalogue, codetext, translate
from grader.material import read_notebook

SOURCE_LANGUAGE = "en"
_MARK = re.compile(r"^\s*#+\s*(BEGIN|END)\b[ \t]*(.*?)\s*$", re.IGNORECASE)
_KNOWN_MARKS = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
_GRADE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LINK = re.compile(
    r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|href)=\"([^\"]+)\""
)
_FENCED = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `text` is an English sentence with `{…}` fields, for gettext."""

    file: Path
    cell: str
    text: str
    values: dict[str, object] = field(default_factory=dict)
    weight: Literal["error", "note"] = "error"

    def __str__(self) -> str:
        where = f"{self.file}, cell {self.cell}" if self.cell else str(self.file)
        return f"{where}: {self.text.format(**self.values)}"


def problems(course: Course) -> list[Problem]:
    """Everything wrong with the notebooks, texts and links of `course`, in reading order."""
    found: list[Problem] = []
    for lab in course.labs:
        for file in course.notebooks("labs", lab.id) if lab.assignment is None else []:
            found += _notebook(course, file, graded=False)
    for item in course.assignments:
        points = 0.0
        for file in course.notebooks("assignments", item.id):
            found += _notebook(course, file, graded=True)
            points += _points(file)
            found += _rubric(item, file)
        if points <= 0:
            folder = course.folder / "assignments" / item.id
            found.append(
                Problem(folder, "", N_("no points to earn; give a test or answer cell points"))
            )
    return found


def notebook_problems(file: Path, notebook: translate.Notebook, *, graded: bool) -> list[Problem]:
    """What is wrong with the cells of one notebook; `graded`: it belongs to an assignment."""
    found: list[Problem] = []
    ids: set[str] = set()
    for number, cell in enumerate(notebook["cells"], 1):
        name = str(number)
        texts = [*_cell_metadata(cell, graded), *_marks(cell, graded), *_leftovers(cell)]
        grade_id = str(_meta(cell).get("grade_id", ""))
        if grade_id and _is_nbgrader(cell):
            name = f"{number} ({grade_id})"
            if grade_id in ids:
                texts.append(
                    (N_("grade_id {id} is used twice; give each cell its own"), {"id": grade_id})
                )
            ids.add(grade_id)
        found += [Problem(file, name, text, values) for text, values in texts]
    return found


def link_problems(file: Path, notebook: translate.Notebook) -> list[Problem]:
    """Links and pictures of Markdown cells whose file is not beside the notebook."""
    found = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "markdown":
            continue
        for match in _LINK.finditer(_FENCED.sub("", cell["source"])):
            target = match.group(1) or match.group(2)
            text = _link_problem(file, cell, target)
            if text:
                found.append(Problem(file, str(number), text, {"target": target}))
    return found


def translation_problems(course: Course, file: Path, notebook: translate.Notebook) -> list[Problem]:
    """Texts without translation, entries of texts that are gone, code that no longer compiles."""
    found: list[Problem] = []
    for language in LANGUAGES:
        if language == SOURCE_LANGUAGE:
            continue
        po = catalogue.path(course.folder, language, file)
        if not (course.folder / "locale" / language).is_dir():
            text = N_("not translated to {language}; its readers see the original")
            found.append(Problem(file, "", text, {"language": language}, "note"))
            continue
        texts = catalogue.read(po)
        for message in translate.missing(notebook, texts):
            text = N_(
                "new or changed text without translation: {text}; run ./dli course texts {id}"
            )
            found.append(Problem(po, "", text, {"text": _short(message), "id": course.id}))
        for message in translate.unused(notebook, texts):
            text = N_("translates a text that is gone: {text}; run ./dli course texts {id}")
            found.append(Problem(po, "", text, {"text": _short(message), "id": course.id}))
        if not found:
            found += _same_code(po, notebook, translate.translate(notebook, texts))
    return found


def _notebook(course: Course, file: Path, *, graded: bool) -> list[Problem]:
    try:
        notebook = read_notebook(file)
        return [
            *notebook_problems(file, notebook, graded=graded),
            *link_problems(file, notebook),
            *translation_problems(course, file, notebook),
        ]
    except CourseError as error:
        return [Problem(file, "", "{reason}", {"reason": str(error)})]
    except ValueError as error:  # a catalogue or a cell that cannot be read
        return [Problem(file, "", "{reason}", {"reason": str(error)})]


Text = tuple[str, dict[str, object]]


def _cell_metadata(cell: dict[str, Any], graded: bool) -> Iterator[Text]:
    if not _is_nbgrader(cell):
        return
    meta, kind = _meta(cell), cell["cell_type"]
    if not graded:
        yield N_("graded cell in an ungraded lab; move it to an assignment"), {}
    if meta.get("schema_version") != 3:
        yield (
            N_("nbgrader schema_version is {found}, not 3; save it in JupyterLab once"),
            {"found": meta.get("schema_version")},
        )
    if not _GRADE_ID.fullmatch(str(meta.get("grade_id", ""))):
        yield (
            N_("grade_id {id!r}: use letters, digits, '-' and '_'"),
            {"id": meta.get("grade_id", "")},
        )
    is_grade, is_solution = bool(meta.get("grade")), bool(meta.get("solution"))
    if is_grade or meta.get("task"):
        points = meta.get("points")
        if not isinstance(points, int | float) or points < 0:
            yield N_("points = {points!r}: give the number of points it earns"), {"points": points}
    if is_grade and not is_solution and kind == "code" and not meta.get("locked"):
        yield N_("test cell is not locked; set locked to true"), {}
    if kind == "markdown" and not meta.get("task") and is_grade != is_solution:
        yield N_("a written answer needs both grade and solution"), {}
    marked = is_grade or is_solution or meta.get("task")  # nbgrader locks tasks itself
    if kind == "markdown" and meta.get("locked") and not marked:
        yield N_("locked text stays untranslated; unlock it"), {}


def _marks(cell: dict[str, Any], graded: bool) -> Iterator[Text]:
    meta = _meta(cell)
    opened = ""
    for line in cell["source"].split("\n"):
        match = _MARK.match(line) if cell["cell_type"] == "code" or "###" in line else None
        if not match:
            continue
        word, name = match.groups()
        if name not in _KNOWN_MARKS or not word.isupper():
            if name.upper().startswith(("SOLUTION", "HIDDEN", "MARK")):
                yield (
                    N_("unknown mark {line!r}; known: {known}"),
                    {"line": line.strip(), "known": ", ".join(f"BEGIN {k}" for k in _KNOWN_MARKS)},
                )
            continue
        if (word == "BEGIN") == bool(opened) or (word == "END" and name != opened):
            yield N_("{line!r} has no partner"), {"line": line.strip()}
        opened = name if word == "BEGIN" else ""
        if name == "SOLUTION" and graded and not meta.get("solution"):
            yield N_("a solution in a cell that is not marked as a solution cell"), {}
        if name == "HIDDEN TESTS" and (not meta.get("grade") or meta.get("solution")):
            yield N_("hidden tests outside a test cell"), {}
    if opened:
        yield N_("BEGIN {name} without END {name}"), {"name": opened}


def _leftovers(cell: dict[str, Any]) -> Iterator[Text]:
    if cell["cell_type"] == "code" and (cell.get("outputs") or cell.get("execution_count")):
        yield N_("outputs are saved in the source; clear all outputs and save"), {}


def _link_problem(file: Path, cell: dict[str, Any], target: str) -> str:
    parts = urlsplit(target)
    if parts.scheme in ("http", "https"):
        return "" if parts.netloc else N_("link {target} has no host")
    if parts.scheme == "attachment":
        known = unquote(parts.path) in cell.get("attachments", {})
        return "" if known else N_("picture {target} is not attached to this cell")
    if parts.scheme in ("mailto", "data") or not parts.path:
        return ""
    inside = (file.parent / unquote(parts.path)).resolve()
    if not inside.is_relative_to(file.parent.resolve()):
        return N_("link {target} leaves the lab's folder, where learners have nothing")
    return "" if inside.exists() else N_("link {target}: no such file beside the notebook")


def _same_code(po: Path, source: translate.Notebook, other: translate.Notebook) -> list[Problem]:
    found = []
    for number, (a, b) in enumerate(zip(source["cells"], other["cells"], strict=True), 1):
        if a["cell_type"] == "code" and _skeleton(a["source"]) != _skeleton(b["source"]):
            found.append(Problem(po, str(number), N_("the translated cell is other code")))
    return found


def _skeleton(code: str) -> str:
    """`code` without the texts that may be translated, as a tree; IPython's own lines as text."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        spans = codetext.spans(code)
        for span in reversed(spans):
            code = code[: span.start] + code[span.end :]
        return re.sub(r"\s+", " ", code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        elif isinstance(node, ast.JoinedStr):
            fields = [v for v in node.values if not isinstance(v, ast.Constant)]
            node.values = sorted(fields, key=ast.dump)
    return ast.dump(tree)


def _rubric(item: Assignment, file: Path) -> Iterator[Problem]:
    """Criteria whose points do not add up to those of their cell."""
    try:
        cells = read_notebook(file)["cells"]
    except CourseError:
        return  # said elsewhere
    for meta in map(_meta, cells):
        criteria = item.criteria(str(meta.get("grade_id", "")))
        total = sum(one.points for one in criteria)
        if criteria and total != meta.get("points"):
            text = N_("its rubric adds up to {total} points, the cell earns {points}")
            values: dict[str, object] = {"total": f"{total:g}", "points": meta.get("points")}
            yield Problem(file, str(meta["grade_id"]), text, values)


def _points(file: Path) -> float:
    try:
        cells = read_notebook(file)["cells"]
    except CourseError:
        return 1.0  # said elsewhere
    found = [_meta(cell).get("points", 0) for cell in cells if _is_nbgrader(cell)]
    return float(sum(p for p in found if isinstance(p, int | float)))


def _meta(cell: dict[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = cell["metadata"].get("nbgrader", {})
    return meta


def _is_nbgrader(cell: dict[str, Any]) -> bool:
    return any(_meta(cell).get(key) for key in ("grade", "solution", "locked", "task"))


def _short(text: str) -> str:
    line = text.strip().splitlines()[0]
    return repr(line if len(line) <= 60 else line[:59] + "…")
