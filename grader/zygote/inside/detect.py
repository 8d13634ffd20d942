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
import contextlib
import operator
import sys
import types
from collections.abc import Iterator
from typing import Any

_INNOCENT = frozenset({"warnings", "matplotlib", "seaborn", "IPython", "tqdm", "logging"})
_ALWAYS = ("math", "random", "statistics", "unittest", "json", "collections", "itertools")
_DEPTH = 2
_SHORT = ("np", "pd")
_CONSTANTS = (float, complex)
"""Kinds of constants that tests compare with (pi), and that no package changes by itself."""
_MOST_NAMES = 400

Finding = dict[str, Any]


def finding(kind: str, detail: str, certain: bool) -> Finding:
    """What the host turns into a flag."""
    return {"kind": kind, "detail": detail[:300], "certain": certain}


class _Noted:
    """One name in one namespace, at the zygote."""

    __slots__ = ("key", "owner", "parts", "space", "value", "where")

    def __init__(self, owner: Any, where: str, value: Any) -> None:
        self.owner, self.where, self.value = owner, where, value
        self.key = where.rpartition(".")[2]
        self.space = vars(owner)
        self.parts = _parts(value)

    def unchanged(self) -> bool:
        """Is it still the imported one, inside too?"""
        if self.space.get(self.key) is not self.value:
            return False
        now = _parts(self.value)
        return len(now) == len(self.parts) and all(map(operator.is_, now, self.parts))

    def uses(self) -> set[str]:
        """Names that the functions behind it use."""
        return {n for p in self.parts if isinstance(p, types.CodeType) for n in used(p)}

    def quick(self) -> tuple[Any, ...]:
        """What `still` compares."""
        function = self.parts[0] if self.parts else None
        return self.space, self.key, self.value, function, *self.parts[1:3]


def still(noted: list[tuple[Any, ...]]) -> bool:
    """Are all still the imported ones, as far as one sees in a moment?"""
    for space, key, value, *function in noted:
        if space.get(key) is not value:
            return False
        if len(function) == 3 and (
            function[0].__code__ is not function[1] or function[0].__defaults__ is not function[2]
        ):
            return False
    return True


def _parts(value: Any) -> tuple[Any, ...]:
    """What of a function can be changed while it stays the same object, wrapped ones included."""
    outer = getattr(value, "_implementation", value)  # numpy's dispatched functions
    if type(outer) is not types.FunctionType:
        return ()
    found: list[Any] = []
    for one in (outer, *_wrapped(outer)):
        found += (one, one.__code__, one.__defaults__, *(one.__kwdefaults__ or {}).values())
    return tuple(found)


def _wrapped(function: types.FunctionType) -> Iterator[types.FunctionType]:
    """Functions that a decorator's function holds."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty cell
            if type(cell.cell_contents) is types.FunctionType:
                yield cell.cell_contents


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
            constant = type(value) in _CONSTANTS and not key.startswith("_")
            if constant or callable(value):
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
            if not noted.unchanged():
                yield finding("replaced-grader", f"{noted.where} was changed", True)
        for one in instances:
            for key in vars(one).keys() & vars(type(one)).keys():
                yield finding("replaced-grader", f"{type(one).__name__}.{key} was changed", True)

    def leaned_on(self, names: set[str]) -> list[_Noted]:
        """What stands behind `names`, and behind the names that their functions use."""
        found: list[_Noted] = []
        seen: set[str] = set()
        layer = set(names)
        for _ in range(_DEPTH):
            seen |= layer
            noted = [one for name in layer for one in self.names.get(name, ())]
            found += noted
            layer = {name for one in noted for name in one.uses()} - seen
            if len(layer) > _MOST_NAMES:
                break
        return found

    def compare(self, noted: list[_Noted]) -> Iterator[Finding]:
        """Findings about what `leaned_on` gave."""
        for one in noted:
            if not one.unchanged():
                certain = one.where.split(".")[0] not in _INNOCENT
                detail = f"{one.where} is not the imported one"
                yield finding("replaced-function", detail, certain)

    def compare_builtins(self, names: set[str]) -> Iterator[Finding]:
        """Replaced builtins; certain where the test uses one."""
        for key, value in self.builtins.items():
            if vars(builtins).get(key) is not value and key not in ("_", "display"):
                yield finding("replaced-builtin", f"builtins.{key}", key in names)

    def compare_names(self, user: dict[str, Any], aliases: dict[str, str]) -> Iterator[Finding]:
        """Names that the instructor's imports give and the test uses: still that module?"""
        if user.get("__builtins__", builtins) not in (builtins, self.builtins):
            yield finding("replaced-builtin", "__builtins__ of the notebook", True)
        for alias, target in aliases.items():
            module, _, name = target.partition(":")
            original = self.modules.get(module)
            if name or alias not in (module, *_SHORT):
                yield from self._given(user, alias, original, name)
                continue
            if original is None:
                continue
            if sys.modules.get(module) is not original:
                yield finding("replaced-module", f"sys.modules[{module!r}]", True)
            if alias in user and user[alias] is not original:
                yield finding("replaced-module", f"{alias} is not {module}", True)
        yield from self._shadowed(user)

    def _given(self, user: dict[str, Any], alias: str, module: Any, name: str) -> Iterator[Finding]:
        """A learner may have reasons to use such a name for something else: never certain."""
        noted = [one for one in self.names.get(name, ()) if one.owner is module]
        wanted = noted[0].value if noted else None if name else module
        if wanted is not None and alias in user and user[alias] is not wanted:
            yield finding("replaced-name", f"{alias} is not the imported one", False)

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
