"""What the documents name exists: links, paths, modules, settings, commands, routes, secrets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from cli import bench, main
from core import course, secrets
from core.settings import ROOT, Settings

ROOMS = ("core", "store", "hub", "labs", "usage", "grader", "web", "cli")
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/README.md")])
READ = {doc: doc.read_text(encoding="utf-8") for doc in DOCS}

FENCE = re.compile(r"^( *)```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|\s)\./dli +([^#|]*)")
PATH = re.compile(r"[\w.*-]+(/[\w.*-]+)*/?")
DOTTED = re.compile(rf"({'|'.join([*Settings.model_fields, *ROOMS])})((?:\.\w+)+)")


def mapped(doc: Path) -> set[str]:
    """The folders on a document's map: first cells of its tables."""
    cells = re.findall(r"^\|(.*)\|$", READ[doc], re.MULTILINE)
    return {folder for cell in cells for folder in re.findall(r"`(\w+)/`", cell)}


TOP = mapped(ROOT / "README.md")


def spans(doc: Path) -> Iterator[str]:
    """What stands in backticks."""
    for found in SPAN.findall(FENCE.sub("", READ[doc])):
        yield " ".join(found.split())


def commands(doc: Path) -> Iterator[str]:
    """Everything after ``./dli``."""
    blocks = [line for _, block in FENCE.findall(READ[doc]) for line in block.splitlines()]
    for text in [*blocks, *spans(doc)]:
        for found in COMMAND.findall(text):
            yield found.strip()


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def names(tree: ast.Module) -> dict[str, ast.stmt]:
    """What a module defines, and ``Class.name`` for what its classes do."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        for name in _named(node):
            found[name] = node
        if isinstance(node, ast.ClassDef):
            inner = {f"{node.name}.{name}": part for part in node.body for name in _named(part)}
            found |= inner
    return found


def _named(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
    return [target.id for target in targets if isinstance(target, ast.Name)]


@cache
def exists_in_code(dotted: str) -> bool:
    """Whether ``room.module`` or ``room.module.Name.attribute`` is there."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.is_file():
            rest = ".".join(parts[length:])
            return not rest or rest in names(ast.parse(file.read_text(encoding="utf-8")))
    return False


def is_setting(dotted: str) -> bool:
    """Whether it is a setting, or a key of course.toml."""
    section, _, key = dotted.partition(".")
    found = getattr(Settings.model_fields.get(section), "annotation", None)
    return key in getattr(found, "model_fields", {}) or (
        section == "labs" and key in course.Lab.model_fields
    )


def exists(path: str, doc: Path) -> bool:
    """Whether a path, seen from the document, its room or the root, is there."""
    room = ROOT / doc.relative_to(ROOT).parts[0]
    return any(
        list(base.glob(path.rstrip("/"))) for base in {ROOT, doc.parent, room} if base.is_dir()
    )


def wrong_command(words: list[str]) -> str:
    """What is wrong with the words after ``./dli``; empty: nothing."""
    group: Any = typer.main.get_command(main.app)
    words = [word for word in words if word not in ("|", "…")]
    while words and hasattr(group, "commands"):
        if words[0] not in group.commands:
            return f"no command {words[0]}"
        group, words = group.commands[words[0]], words[1:]
    if group.name == "test":
        missing = [word for word in words if "/" in word and not (ROOT / word).exists()]
        return f"nothing at {missing}" if missing else ""
    known = {option for param in group.params for option in (*param.opts, *param.secondary_opts)}
    unknown = {word.strip("[]") for word in words if word.strip("[]").startswith("-")} - known
    if unknown:
        return f"no option {sorted(unknown)}"
    if group.name == "bench" and words and words[0] not in ("NAME", *bench.names()):
        return f"no benchmark {words[0]}"
    return ""


@cache
def sources(room: str) -> str:
    """All Python of a room."""
    return "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: str(doc.relative_to(ROOT)))
class TestDocument:
    def test_its_links_lead_somewhere(self, doc: Path) -> None:
        for target in LINK.findall(FENCE.sub("", READ[doc])):
            if re.match(r"\w+:", target):
                continue
            file, _, anchor = target.partition("#")
            there = (doc.parent / file).resolve() if file else doc
            assert there.exists(), target
            if anchor:
                assert anchor in anchors(READ[there]), target

    def test_its_paths_exist(self, doc: Path) -> None:
        for span in spans(doc):
            if PATH.fullmatch(span) and span.split("/")[0] in TOP and "/" in span:
                assert exists(span, doc), span
            if file := re.match(r"(tests/\S+\.py)::(\w+)$", span):
                tree = ast.parse((ROOT / file[1]).read_text(encoding="utf-8"))
                assert file[2] in names(tree), span

    def test_its_modules_and_settings_exist(self, doc: Path) -> None:
        for span in spans(doc):
            if module := re.match(r"(?:\S+/)?python -m (\S+)", span):
                assert exists_in_code(module[1]), span
            found = DOTTED.match(span)
            if not found or found[2] in (".sqlite", ".toml"):
                continue
            dotted = found[1] + found[2]
            assert is_setting(dotted) or exists_in_code(dotted), span

    def test_its_commands_can_be_given(self, doc: Path) -> None:
        for command in commands(doc):
            wrong = wrong_command(command.split())
            assert not wrong, f"./dli {command}: {wrong}"

    def test_its_routes_secrets_and_variables_exist(self, doc: Path) -> None:
        for span in spans(doc):
            if route := re.search(r"/services/(usage|grader)(/[^?\s]*)", span):
                assert served(route[1], route[2]), span
            if re.fullmatch(r"key-\w+", span):
                assert span in secrets.NAMES
            if re.fullmatch(r"DLI_[A-Z_]+", span):
                everything = "".join(sources(room) for room in ROOMS)
                setting = span.removeprefix("DLI_").lower().replace("__", ".")
                known = setting in Settings.model_fields or is_setting(setting)
                assert known or f'"{span}"' in everything, span


def served(service: str, path: str) -> bool:
    """Whether a route of the service ends as `path` does: ``<x>`` is a field, ``…`` anything."""
    path = path.removeprefix("/api/me").removeprefix("/api/lab").removeprefix("/api/internal")
    pattern = re.sub(r"<\w+>", r"\\{[^}]+\\}", re.escape(path).replace("…", ".*"))
    return bool(re.search(f"[\"']{pattern}[\"']", sources(service))) or path in ("/", "/parts/…")


def test_both_maps_show_every_folder() -> None:
    rooms = re.split(r"^## ", READ[ROOT / "docs" / "architecture.md"], flags=re.MULTILINE)[1]
    assert set(re.findall(r"`(\w+)/`", rooms)) == TOP
    assert set(ROOMS) <= TOP
    assert all((ROOT / folder).is_dir() for folder in TOP)


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        doc = todo.pop()
        if doc in reached or doc not in READ:
            continue
        reached.add(doc)
        links = [target.partition("#")[0] for target in LINK.findall(READ[doc])]
        todo += [(doc.parent / link).resolve() for link in links if link.endswith(".md")]
    pages = {doc for doc in DOCS if doc.is_relative_to(ROOT / "docs")}
    assert not pages - reached, "no link leads there"


def test_every_benchmark_is_explained() -> None:
    page = READ[ROOT / "docs" / "reference" / "benchmarks.md"]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(bench.names())
