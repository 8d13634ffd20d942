"""What settings may be, beyond a type and limits: checked when they are read, with a sentence.

The codes of what is refused have their words in `cli.wrong_settings`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # the folder "Asia" is no zone either
        raise PydanticCustomError("zone", "not an IANA time zone such as Asia/Seoul") from None
    return name


def _address(url: str) -> str:
    parts = urlsplit(url)
    more = parts.path.strip("/") or parts.query or parts.fragment
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or more):
        raise PydanticCustomError(
            "address", "not an address such as https://labs.example.org, without a path"
        )
    return url


def _database(url: str) -> str:
    if url and not re.match(r"(sqlite|postgresql)(\+\w+)?://", url):
        raise PydanticCustomError(
            "database", "not a URL such as postgresql+psycopg://user:password@host/name"
        )
    return url


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise PydanticCustomError("absolute", "must be an absolute path")
    return path


Port = Annotated[int, Field(ge=1, le=65535)]
Minutes = Annotated[float, Field(gt=0, le=10080)]
Folder = Annotated[Path, AfterValidator(_absolute)]
Zone = Annotated[str, AfterValidator(_zone)]
"""An IANA time zone."""
Address = Annotated[str, AfterValidator(_address)]
"""Scheme, host and perhaps port; or empty."""
Database = Annotated[str, AfterValidator(_database)]
"""SQLAlchemy URL of SQLite or PostgreSQL; or empty."""
Factor = Annotated[str, Field(pattern=r"^[1-9][0-9]?(/[1-9][0-9]?)?$")]
"""A whole number or a fraction of two, below 100."""
