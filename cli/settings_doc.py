"""The two texts that list every setting, written from the settings themselves.

`python -m cli.settings_doc` rewrites `deploy/dli.example.toml` and `docs/reference/settings.md`;
a test holds both equal to what the code says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from core.settings import ROOT, Settings

EXAMPLE = ROOT / "deploy" / "dli.example.toml"
REFERENCE = ROOT / "docs" / "reference" / "settings.md"

_EXAMPLE_HEAD = """\
# Settings of DLI Labs. `./dli up` copies this file to dli.toml the first time.
# A line that begins with '#' shows the default; remove the '#' to change it.
# Environment variables go over this file: DLI_SITE__HOST=0.0.0.0 is [site] host.
# After a change run `./dli up` again: it restarts the platform, running labs stay.
"""

_REFERENCE_HEAD = """\
# Settings

`./dli up` writes `dli.toml` the first time, from
[`deploy/dli.example.toml`](../../deploy/dli.example.toml). Another file can be named by
`DLI_SETTINGS`. An environment variable goes over the file: `DLI_`, then section and key joined by
two underscores (`DLI_PORTS__PUBLIC=9000`); lists and tables as JSON
(`DLI_USAGE__WARN_MINUTES=[30,5]`). An unknown setting or a value that cannot be is refused with its
name, the value and what is allowed.

A changed setting takes effect with the next `./dli up`, which then restarts the platform; running
labs stay.

This page is written by `python -m cli.settings_doc` from `core/settings.py`.
"""

_FOLDERS = {"state_dir": "<checkout>/var", "courses_dir": "<checkout>/courses"}


@dataclass(frozen=True)
class Row:
    """One setting. `allowed` is empty when the type says it all."""

    section: str
    key: str
    default: Any
    kind: str
    allowed: str
    description: str

    @property
    def environment(self) -> str:
        """Its environment variable."""
        return "DLI_" + "__".join(part for part in (self.section, self.key) if part).upper()


def rows() -> Iterator[Row]:
    """Every setting, the ones outside a section first."""
    for key, field in Settings.model_fields.items():
        if _section(field) is None:
            default = _FOLDERS.get(key, to_jsonable_python(field.default))
            yield _row("", key, field, default)
    for name, field in Settings.model_fields.items():
        if (section := _section(field)) is not None:
            for key, inner in section.model_fields.items():
                yield _row(name, key, inner, to_jsonable_python(inner.get_default()))


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _row(section: str, key: str, field: FieldInfo, default: Any) -> Row:
    kind, allowed = _kind(field)
    return Row(section, key, default, kind, allowed, field.description or "")


def _kind(field: FieldInfo) -> tuple[str, str]:
    """Type in words, and what is allowed beyond it."""
    if get_origin(field.annotation) is Literal:
        return "text", ", ".join(f"`{value}`" for value in get_args(field.annotation))
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    kind = names.get(field.annotation, "")  # type: ignore[arg-type]
    origin = get_origin(field.annotation)
    kind = kind or {list: "list", dict: "table"}.get(origin, "path")  # type: ignore[arg-type]
    return kind, _limits(field)


def _limits(field: FieldInfo) -> str:
    """Limits in words, from the pydantic metadata (of an Annotated type too)."""
    metadata = list(field.metadata)
    words = {"ge": "at least", "gt": "more than", "le": "at most"}
    parts = []
    for item in metadata:
        parts += [
            f"{text} {v:g}"
            for n, text in words.items()
            if (v := getattr(item, n, None)) is not None
        ]
        if pattern := getattr(item, "pattern", None):
            parts.append(f"like `{pattern}`")
    return ", ".join(parts)


def example() -> str:
    """deploy/dli.example.toml."""
    parts = [_EXAMPLE_HEAD]
    section = ""
    for row in rows():
        if row.section != section:
            section = row.section
            doc = (_section(Settings.model_fields[section]) or BaseModel).__doc__ or ""
            parts.append(f"\n# {doc.strip()}\n[{section}]\n")
        limits = f" ({row.allowed.replace('`', '')})" if row.allowed else ""
        value = _toml(row.default)
        parts.append(f"# {row.description}{limits}\n# {row.key} = {value}\n")
    return "".join(parts)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def reference() -> str:
    """docs/reference/settings.md."""
    parts = [_REFERENCE_HEAD]
    section: str | None = None
    for row in rows():
        if row.section != section:
            section = row.section
            heading = f"`[{section}]`" if section else "At the top of the file"
            doc = (_section(Settings.model_fields[section]) or BaseModel).__doc__ if section else ""
            parts.append(f"\n## {heading}\n\n" + (f"{(doc or '').strip()}\n\n" if doc else ""))
            parts.append(
                "| setting | default | value | meaning | environment |\n|---|---|---|---|---|\n"
            )
        value = f"{row.kind}: {row.allowed}" if row.allowed else row.kind
        cells = (
            f"`{row.key}`",
            f"`{_toml(row.default)}`",
            value,
            row.description,
            f"`{row.environment}`",
        )
        parts.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n")
    return "".join(parts)


def main() -> None:
    """Rewrite both files."""
    for file, text in ((EXAMPLE, example()), (REFERENCE, reference())):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file, file=sys.stderr)


if __name__ == "__main__":
    main()
