"""Starts the single-user server of a lab: ``python -m dli_lab.launch``.

JupyterHub's single-user server is started as it is, but not with the Hub's database layer: of the
modules it imports, `jupyterhub.log` takes in the whole Hub, and `jupyterhub.scopes` and
`jupyterhub.utils` take in SQLAlchemy and the Hub's tables, for functions that only the Hub calls.
That costs each lab about 0.5 s of CPU and 30 MiB. While the single-user server is imported, those
modules are stood in for; a name that is asked of a stand-in later comes from the real module.
tests/docker/test_lab_image.py holds both: the saving, and that sign-in and scope checks work.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class NoDatabaseError(Exception):
    """Stands for SQLAlchemyError in ``except`` clauses: nothing here can raise it."""


class _StandIn(ModuleType):
    """A module that is imported when a name of it is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _stand_ins() -> list[_StandIn]:
    from jupyter_server.log import log_request  # scrubs secrets from addresses, like the Hub's

    log = _StandIn("jupyterhub.log")
    log.log_request = log_request  # type: ignore[attr-defined]
    errors = _StandIn("sqlalchemy.exc")
    errors.SQLAlchemyError = NoDatabaseError  # type: ignore[attr-defined]
    plain = ("sqlalchemy", "jupyterhub.orm", "jupyterhub.roles")
    return [log, errors, *map(_StandIn, plain)]


@contextmanager
def without_database() -> Iterator[None]:
    """What is imported inside gets stand-ins; later imports (nbgrader's) get the real modules."""
    modules = [module for module in _stand_ins() if module.__name__ not in sys.modules]
    sys.modules.update({module.__name__: module for module in modules})
    try:
        yield
    finally:
        for module in modules:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def main() -> None:
    """Run the server until it is stopped."""
    with without_database():
        from jupyterhub.singleuser.extension import main as serve
    serve()


if __name__ == "__main__":
    main()
