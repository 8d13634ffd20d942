"""The narrow runner: a process of its own that holds Docker's socket for the Hub.

The Hub gets another socket, which speaks the few calls that labs need (`calls`). Of every container
and volume to be made the body is read by literal rules (`rules`) and passed on only if it is a lab
of ours, closed in as `labs.containers` makes it. So who takes over the Hub can start and stop labs,
and nothing else on the machine.
"""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings

HUB_ACCOUNT = "dli-hub"
"""The Hub's account of this machine when the platform was started by root."""


def socket_path(settings: Settings) -> Path:
    """The Unix socket that the runner offers to the Hub."""
    return settings.state_dir / "run" / "docker.sock"
