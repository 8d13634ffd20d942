"""The platform inside JupyterLab, server side: status, warnings, submission, nbgrader on demand.

The browser talks only to this server; this server talks to the platform's services with its own
``JUPYTERHUB_API_TOKEN``, which never reaches JavaScript.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "dli_lab"}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "dli-lab"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Called by jupyter_server once, before it listens."""
    from dli_lab import activity, handlers, lazy_nbgrader

    handlers.register(serverapp)
    activity.start(serverapp)
    lazy_nbgrader.register(serverapp)
