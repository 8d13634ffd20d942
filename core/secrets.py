"""Generated secrets: one file each under ``<state_dir>/secrets``, mode 0600, never logged."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

NAMES = (
    "hub-cookie",  # signs the Hub's cookies
    "hub-crypt",  # encrypts the Hub's auth state
    "proxy-auth",  # Hub -> proxy
    "lab-door",  # Hub and proxy: whose browser may see whose lab
    "usage-hub-token",  # usage service -> Hub API, and its OAuth client secret
    "grader-hub-token",  # grader service -> Hub API, and its OAuth client secret
    "key-hub",  # Hub (labs room inside it) -> usage service
    "key-agent",  # lab agent on a GPU host -> usage service
    "key-runner",  # the runner that holds Docker's socket -> usage service: reads leases
    "key-worker",  # grading worker -> usage service
    "key-usage",  # usage service -> grader service
    "key-cli",  # ./dli on this machine -> usage and grader services
    "receipt",  # signs submission receipts
)


def ensure(state_dir: Path) -> None:
    """Create every secret that is missing. Existing ones are kept."""
    folder = state_dir / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in NAMES:
        try:
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())


def load(state_dir: Path, name: str) -> str:
    """The secret `name`. Raises KeyError for an unknown name, FileNotFoundError before `ensure`."""
    if name not in NAMES:
        raise KeyError(f"unknown secret {name!r}; known: {', '.join(NAMES)}")
    return (state_dir / "secrets" / name).read_text().strip()
