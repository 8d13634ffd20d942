"""What a test relies on, remembered before learners' code and compared before each test."""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any

_STANDARD = ("builtins", "math", "random", "statistics", "operator", "itertools", "functools")

_GUARD = """
import sys
changed = []
for name, table in tables.items():
    module = sys.modules.get(name)
    space = module.__dict__ if type(module) is type(sys) else {}
    for attribute, identity in table.items():
        if attribute not in space or id(space[attribute]) != identity:
            changed.append(name + "." + attribute)
if shell.ast_transformers:
    changed.append("IPython.ast_transformers")
if shell.input_transformers_post:
    changed.append("IPython.input_transformers_post")
"""

_CANARY = "assert 1 == 2"


def remember(packages: list[str]) -> dict[str, dict[str, int]]:
    """Identities of the public functions and classes of `packages` and their loaded children."""
    tables = {}
    for name, module in sorted(sys.modules.items()):
        if name not in _STANDARD and not _belongs(name, packages):
            continue
        if type(module) is not type(sys):
            continue  # torch.backends.* are objects of their own, which the guard cannot read
        space = getattr(module, "__dict__", {})
        tables[name] = {
            key: id(value)
            for key, value in space.items()
            if (callable(value) or isinstance(value, type(sys))) and not key.startswith("_")
        }
    return tables


def _belongs(name: str, packages: list[str]) -> bool:
    """The package itself and two levels below, without private modules.

    Not matplotlib: it replaces functions of its own when a backend is chosen.
    """
    parts = name.split(".")
    return (
        parts[0] in packages
        and parts[0] != "matplotlib"
        and len(parts) <= 3
        and not any(p.startswith("_") for p in parts)
    )


def code() -> CodeType:
    """The comparison, to be run in a snapshot with untouched builtins."""
    return compile(_GUARD, "<guard>", "exec")


def canary() -> CodeType:
    """A test that must fail."""
    return compile(_CANARY, "<test>", "exec")


def compiled(source: str) -> dict[str, Any]:
    """A test as code: `body`, and `last` when its last line is an expression (partial credit).

    IPython's syntax is translated here, in a process that ran no learner's code. Raises
    SyntaxError.
    """
    import ast

    from IPython.core.inputtransformer2 import TransformerManager

    text = TransformerManager().transform_cell(source)
    tree = ast.parse(text)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        expression = ast.Expression(tree.body.pop().value)
        last = _compile(expression, "eval")
    quiet = text.rstrip().endswith(";")
    return {"body": _compile(tree, "exec"), "last": last, "quiet": quiet}


def _compile(tree: Any, mode: str) -> CodeType:
    import ast

    code: CodeType = compile(tree, "<test>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code
