"""Compiles a test so that before each of its calls, what the test stands on is looked at.

Before and after a test is not enough: a learner's function can put a false `allclose` in place when
the test calls it, and the false one can put the true one back when it is called itself. So the last
thing that happens before a call is a look. Looks have no name that a notebook could take: they are
constants of the test's code.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from typing import Any

_compile = compile
_TREE = ast.PyCF_ONLY_AST
AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_Node, _Call, _Attribute, _Constant, _Load = (
    ast.AST,
    ast.Call,
    ast.Attribute,
    ast.Constant,
    ast.Load,
)
_Expr, _Expression, _Starred, _CodeType = ast.Expr, ast.Expression, ast.Starred, types.CodeType
_isinstance, _type, _list, _dict, _tuple = isinstance, type, list, dict, tuple
_MARK = "\0the look of this test\0"
_ALWAYS_LOOKED = 2000
_LATER_EACH = 64
"""A test that calls a hundred thousand times must not take much longer for it."""


class Looks:
    """What a test's calls run through. `see` is set while a test runs."""

    def __init__(self) -> None:
        self.see: Callable[[], None] | None = None
        self.count = 0

    def one(self, value: Any) -> Any:
        """The last argument of a call, or its function when it has none."""
        self.count += 1
        if self.see and (self.count < _ALWAYS_LOOKED or self.count % _LATER_EACH == 0):
            self.see()
        return value

    def many(self, values: Any) -> Any:
        """``*values``: taken out first, since that may run a learner's code."""
        return self.one(_tuple(values))

    def named(self, values: Any) -> Any:
        """``**values``."""
        return self.one(_dict(values))


def compiled(source: str, label: str, looks: Looks) -> tuple[types.CodeType, types.CodeType | None]:
    """A cell's statements, and its last expression where it ends in one. Raises SyntaxError."""
    tree = _compile(source, label, "exec", _TREE | AWAIT)
    _watch(tree)
    last = None
    if tree.body and _isinstance(tree.body[-1], _Expr):
        made = _compile(_Expression(tree.body.pop().value), label, "eval", AWAIT)
        last = _filled(made, looks)
    return _filled(_compile(tree, label, "exec", AWAIT), looks), last


def _watch(node: Any) -> None:
    for field in node._fields:
        child: Any = getattr(node, field, None)
        for one in child if _type(child) is _list else (child,):
            if _isinstance(one, _Node):
                _watch(one)
    if _type(node) is _Call:
        _look_before(node)


def _look_before(call: Any) -> None:
    """Wrap what is evaluated last: keywords come after arguments, the function comes first."""
    if call.keywords:
        last = call.keywords[-1]
        last.value = _seen(last.value, "one" if last.arg else "named")
    elif not call.args:
        call.func = _seen(call.func, "one")
    elif _type(call.args[-1]) is _Starred:
        call.args[-1].value = _seen(call.args[-1].value, "many")
    else:
        call.args[-1] = _seen(call.args[-1], "one")


def _seen(value: Any, how: str) -> Any:
    at = {name: getattr(value, name)
          for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")}  # fmt: skip
    look = _Attribute(_Constant(_MARK, **at), how, _Load(), **at)
    return _Call(look, [value], [], **at)


def _filled(code: types.CodeType, looks: Looks) -> types.CodeType:
    """`code` with the looks themselves where their mark stands."""
    constants = [
        _filled(one, looks) if _isinstance(one, _CodeType)
        else looks if _type(one) is str and one == _MARK
        else one
        for one in code.co_consts
    ]  # fmt: skip
    return code.replace(co_consts=_tuple(constants))
