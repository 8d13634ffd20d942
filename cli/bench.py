"""`./dli bench NAME`: run `benchmarks/<name>.py`, print its table, then one line of JSON.

A benchmark is a module with ``main(say: Callable[[str], None]) -> Result``-like function: it gets a
function for lines of progress and returns ``(rows, figures)``: rows (dicts with the same keys) for
the table, and the figures of the last line.
"""

from __future__ import annotations

import ast
import importlib
import json
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.console import err, out
from cli.errors import CliError
from cli.steps import Steps
from cli.text import _
from core.settings import ROOT

FOLDER = ROOT / "benchmarks"


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def summary(name: str) -> str:
    """What a benchmark measures: the first line of its module, read without running it."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def table(rows: list[dict[str, Any]]) -> Table:
    """Rows as a table; the first row's keys are the columns."""
    shown = Table(*(str(key) for key in (rows[0] if rows else {})))
    for row in rows:
        shown.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    return shown


def _main(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}").main


def bench(
    name: Annotated[
        str | None,
        typer.Argument(help=_("Name of a file in benchmarks/; without it: which there are")),
    ] = None,
    n: Annotated[int | None, typer.Option(help=_("How many submissions or learners"))] = None,
    profile: Annotated[str | None, typer.Option(help="numpy, sklearn, torch")] = None,
) -> None:
    """Run one benchmark; options that are not given keep its own defaults."""
    asked: dict[str, Any] = {"n": n, "profile": profile}
    options = {key: value for key, value in asked.items() if value is not None}
    if name is None:
        out.print(table([{"": known, _("Measures"): summary(known)} for known in names()]))
        return
    name = name.replace("-", "_")
    if name not in names():
        known = ", ".join(names())
        raise CliError(_("No benchmark {name!r}; there are: {known}", name=name, known=known))
    # Progress goes to standard error: the last line of standard output is the JSON.
    with Steps(err).step(_("Benchmark {name}", name=name)) as step:
        try:
            rows, figures = _main(name)(step.detail, **options)
        except (TypeError, ValueError) as error:
            if not options:
                raise
            raise CliError(f"bench {name}: {error}") from error
    out.print(table(rows))
    print(json.dumps(figures))


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=_("Measure, and print a table and one line of JSON."))(bench)
