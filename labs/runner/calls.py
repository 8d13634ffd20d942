"""Which of Docker's calls the runner passes on: a table, everything else is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import quote, urlencode

from labs.runner.rules import Forbidden


class Kind(Enum):
    """What has to be checked before a call goes on."""

    FREE = "free"
    IMAGE = "image"
    NETWORK = "network"
    CREATE_VOLUME = "create volume"
    VOLUME = "volume"
    CREATE = "create"
    LAB = "lab"
    """`Call.name` must be a lab of ours."""


@dataclass(frozen=True)
class Call:
    """One call, taken apart. `target` is what goes to Docker, put together anew."""

    kind: Kind
    method: str
    version: str
    name: str
    words: tuple[str, str]
    """Of the path, what stands before and after the name."""
    query: dict[str, str] = field(default_factory=dict)
    streams: bool = False

    def target(self, name: str | None = None) -> str:
        """Path and query for Docker; `name` in place of the one that was asked for."""
        before, after = self.words
        middle = quote(self.name if name is None else name, safe="/:@")
        query = f"?{urlencode(self.query)}" if self.query else ""
        return f"{self.version}/{before}{middle}{after}{query}"


_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
_IMAGE = r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,255}"
_VERSION = re.compile(r"(/v1\.[0-9]{2})?/(.+)")
_VALUE = re.compile(r"[A-Za-z0-9._:-]{0,64}")

_ROWS: list[tuple[str, str, str, str, Kind, set[str]]] = [
    # method, before the name, the name, after it, what is checked, query allowed
    ("GET HEAD", "_ping", "", "", Kind.FREE, set()),
    ("GET", "version", "", "", Kind.FREE, set()),
    ("GET", "images/", _IMAGE, "/json", Kind.IMAGE, set()),
    ("GET", "networks/", _NAME, "", Kind.NETWORK, set()),
    ("POST", "volumes/create", "", "", Kind.CREATE_VOLUME, set()),
    ("GET DELETE", "volumes/", _NAME, "", Kind.VOLUME, set()),
    ("POST", "containers/create", "", "", Kind.CREATE, {"name"}),
    ("GET", "containers/", _NAME, "/json", Kind.LAB, set()),
    (
        "GET", "containers/", _NAME, "/logs", Kind.LAB,
        {"stdout", "stderr", "timestamps", "follow", "tail", "since", "until"},
    ),
    ("POST", "containers/", _NAME, "/start", Kind.LAB, set()),
    ("POST", "containers/", _NAME, "/stop", Kind.LAB, {"t"}),
    ("POST", "containers/", _NAME, "/kill", Kind.LAB, {"signal"}),
    ("POST", "containers/", _NAME, "/wait", Kind.LAB, {"condition"}),
    ("DELETE", "containers/", _NAME, "", Kind.LAB, {"v", "force", "link"}),
]  # fmt: skip
_STREAMS = {"/logs", "/wait"}


def read(method: str, path: str, query: Mapping[str, str]) -> Call:
    """The call that this is. `path` without percent signs. Raises Forbidden for any other."""
    match = _VERSION.fullmatch(path)
    if match is None or "/../" in f"{path}/" or "/./" in f"{path}/":
        raise Forbidden(f"{method} {path[:200]!r}: not a call that labs need")
    for methods, before, name, after, kind, allowed in _ROWS:
        found = re.fullmatch(f"{before}({name}){after}", match[2])
        if found and method in methods.split():
            words = (before, after)
            checked = _query(query, allowed)
            version = match[1] or ""
            return Call(kind, method, version, found[1], words, checked, after in _STREAMS)
    raise Forbidden(f"{method} {path[:200]!r}: not a call that labs need")


def _query(query: Mapping[str, str], allowed: set[str]) -> dict[str, str]:
    wrong = [k for k, v in query.items() if k not in allowed or not _VALUE.fullmatch(v)]
    if wrong:
        raise Forbidden(f"query: {', '.join(wrong)[:200]!r} is not allowed here")
    return dict(query)
