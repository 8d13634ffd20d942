"""JupyterHub's configuration: load the settings, apply the hub room's wiring. Nothing else.

Change what people can set in `core/settings.py`, and how it reaches JupyterHub in `hub/wiring.py`.
"""

from core import log, settings
from hub import wiring

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - given by JupyterHub

log.setup()
wiring.apply(c, settings.load())
