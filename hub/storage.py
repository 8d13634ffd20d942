"""What of the state folder is the Hub's: its own folder, and the secrets it uses.

Imports nothing heavy: the process that becomes the Hub reads it first.
"""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings

SECRETS = (
    "hub-cookie",
    "hub-crypt",
    "proxy-auth",
    "lab-door",
    "usage-hub-token",
    "grader-hub-token",
    "key-hub",
)
"""Names in core.secrets. The Hub's account may read these and no others."""


def folder(settings: Settings) -> Path:
    """The Hub's own folder: its database and its pid; the one place that it may write."""
    return settings.state_dir / "hub"


def database_url(settings: Settings) -> str:
    """SQLAlchemy URL of the Hub's own database."""
    return f"sqlite:///{folder(settings)}/hub.sqlite"
