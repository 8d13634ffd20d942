"""Starts the single-user server of a lab: ``python -m dli_lab.launch``.

JupyterHub's single-user server takes its log function from `jupyterhub.log`, and that module
imports the whole Hub with its database layer: about 0.5 s of CPU and 20 MiB in every lab, for a
server that has no database. Jupyter Server's own log function does the same work (it scrubs
secrets from addresses, too), so the lab uses that one. Any other name asked of `jupyterhub.log`
comes from the real module.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any


def use_light_log() -> None:
    """Put the light `jupyterhub.log` in place. Call before `jupyterhub.singleuser` is imported."""
    from jupyter_server.log import log_request

    light = ModuleType("jupyterhub.log", __doc__)
    light.log_request = log_request  # type: ignore[attr-defined]
    light.__getattr__ = _real_log  # type: ignore[method-assign]
    light.__spec__ = importlib.util.find_spec("jupyterhub.log")
    sys.modules["jupyterhub.log"] = light


def _real_log(name: str) -> Any:
    spec = importlib.util.find_spec("jupyterhub.log")
    if name.startswith("__") or spec is None or spec.loader is None:
        raise AttributeError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def main() -> None:
    """Run the server until it is stopped."""
    use_light_log()
    from jupyterhub.singleuser.extension import main as serve

    serve()


if __name__ == "__main__":
    main()
