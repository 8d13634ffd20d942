"""Was something that the tests stand on changed by the notebook?

The zygote notes, after its imports, what every name in the packages' modules and classes stands
for. Before and after a test, the names that the test uses (and those that the functions behind them
use, two calls deep) are compared. Only these: comparing everything would touch, and so copy, all
memory that a fork shares with the zygote.

A finding is `certain` when a function of a computing package or of the builtins that the test leans
on is not the one that was imported. Packages whose functions people replace for honest reasons
(silencing warnings, showing plots) are only reported.
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Iterator
from typing import Any

_INNOCENT = frozenset({"warnings", "matplotlib", "seaborn", "IPython", "tqdm", "logging"})
_ALWAYS = ("math", "random", "statistics", "unittest", "json", "collections", "itertools")
_DEPTH = 2
_MOST_NAMES = 400

Finding = dict[str, Any]


def finding(kind: str, detail: str, certain: bool) -> Finding:
    """What the host turns into a flag."""
    return {"kind": kind, "detail": detail[:300], "certain": certain}


class _Noted:
    """One name in one namespace, at the zygote."""

    __slots__ = ("code", "owner", "value", "where")

    def __init__(self, owner: Any, where: str, value: Any) -> None:
        self.owner, self.where, self.value = owner, where, value
        self.code = _code(value)


def _code(value: Any) -> Any:
    inner = getattr(value, "_implementation", value)  # numpy's dispatched functions
    return (getattr(inner, "__code__", None), getattr(inner, "__defaults__", None))


class Snapshot:
    """Names of the packages as the zygote imported them."""

    def __init__(self, packages: list[str]) -> None:
        self.roots = {name.split(".")[0] for name in packages} | set(_ALWAYS)
        self.modules = {name: sys.modules[name] for name in packages if name in sys.modules}
        self.names: dict[str, list[_Noted]] = {}
        self.builtins = dict(vars(builtins))
        self.own: list[_Noted] = []
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in self.roots and isinstance(module, types.ModuleType):
                self._note_module(name, module)

    def _note_module(self, name: str, module: types.ModuleType) -> None:
        for key, value in list(vars(module).items()):
            if isinstance(value, type) and getattr(value, "__module__", None) == name:
                self._note_class(f"{name}.{key}", value)
            if callable(value):
                self.names.setdefault(key, []).append(_Noted(module, f"{name}.{key}", value))

    def _note_class(self, where: str, kind: type) -> None:
        for key, value in list(vars(kind).items()):
            if isinstance(value, types.FunctionType):
                self.names.setdefault(key, []).append(_Noted(kind, f"{where}.{key}", value))

    def note_own(self) -> None:
        """What runs tests, once all of it is imported."""
        for name, module in list(sys.modules.items()):
            if name.startswith(f"{__package__}."):
                spaces = [(name, module)] + [
                    (f"{name}.{key}", kind)
                    for key, kind in vars(module).items()
                    if isinstance(kind, type) and kind.__module__ == name
                ]
                self.own += [
                    _Noted(space, f"{where}.{key}", value)
                    for where, space in spaces
                    for key, value in vars(space).items()
                    if not key.startswith("__") or key == "__init__"
                ]

    def compare_own(self, *instances: Any) -> Iterator[Finding]:
        """What runs tests has no business to change."""
        for noted in self.own:
            now = vars(noted.owner).get(noted.where.rpartition(".")[2])
            if now is not noted.value or _code(now)[0] is not noted.code[0]:
                yield finding("replaced-grader", f"{noted.where} was changed", True)
        for one in instances:
            for key in vars(one).keys() & vars(type(one)).keys():
                yield finding("replaced-grader", f"{type(one).__name__}.{key} was changed", True)

    def compare(self, names: set[str]) -> Iterator[Finding]:
        """Findings about `names` and what their functions use."""
        seen: set[str] = set()
        layer = set(names)
        for _ in range(_DEPTH):
            seen |= layer
            following: set[str] = set()
            for name in layer:
                for noted in self.names.get(name, ()):
                    yield from self._one(noted, name)
                    if isinstance(noted.code[0], types.CodeType):
                        following.update(noted.code[0].co_names)
            layer = following - seen
            if len(layer) > _MOST_NAMES:
                return

    def _one(self, noted: _Noted, name: str) -> Iterator[Finding]:
        now = vars(noted.owner).get(name)
        if now is noted.value and _code(now)[0] is noted.code[0]:
            return
        certain = noted.where.split(".")[0] not in _INNOCENT
        yield finding("replaced-function", f"{noted.where} is not the imported one", certain)

    def compare_builtins(self, names: set[str]) -> Iterator[Finding]:
        """Replaced builtins; certain where the test uses one."""
        for key, value in self.builtins.items():
            if vars(builtins).get(key) is not value and key not in ("_", "display"):
                yield finding("replaced-builtin", f"builtins.{key}", key in names)

    def compare_names(self, user: dict[str, Any], aliases: dict[str, str]) -> Iterator[Finding]:
        """Names that the instructor's imports give and the test uses: still that module?"""
        if user.get("__builtins__", builtins) not in (builtins, self.builtins):
            yield finding("replaced-builtin", "__builtins__ of the notebook", True)
        for alias, module in aliases.items():
            original = self.modules.get(module)
            if original is None:
                continue
            if sys.modules.get(module) is not original:
                yield finding("replaced-module", f"sys.modules[{module!r}]", True)
            if alias in user and user[alias] is not original:
                yield finding("replaced-module", f"{alias} is not {module}", True)
        yield from self._shadowed(user)

    def _shadowed(self, user: dict[str, Any]) -> Iterator[Finding]:
        for key in ("isinstance", "type", "abs", "len", "all", "any", "sum", "round", "repr"):
            if key in user and callable(user[key]) and user[key] is not self.builtins[key]:
                yield finding("shadowed-builtin", f"the notebook defines its own {key}", False)


def used(code: types.CodeType) -> set[str]:
    """Every name that a code object and those within it use."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= used(constant)
    return names
