"""Names and ids: what is valid, and how a person's name becomes a container's.

Rules: a course, assignment, lab or cohort id is 1 to 40 characters of ``a-z``, ``0-9`` and ``-``,
beginning and ending with a letter or digit. A slug is always a valid Docker name and never
collides: a name that is already a valid id keeps itself unless it looks like a hashed one.
"""

from __future__ import annotations

import hashlib
import re
import secrets

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_HASHED = re.compile(r".*--[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """True when `text` may name a course, assignment, lab or cohort."""
    return _ID.fullmatch(text) is not None


def slug(name: str) -> str:
    """A Docker-safe name for any text, at most 40 characters, distinct for distinct texts."""
    if is_id(name) and not _HASHED.fullmatch(name):
        return name
    head = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:26].strip("-") or "x"
    return f"{head}--{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def new_id(prefix: str) -> str:
    """A fresh unguessable id such as ``lease-3f…`` (96 random bits)."""
    return f"{prefix}-{secrets.token_hex(12)}"
