"""What goes to a fork and what may come back. Everything that comes back is hostile input.

`parse` accepts bounded JSON of exactly the shapes below and raises `Hostile` for anything else: no
key is trusted, depth, counts and sizes are bounded, texts are made valid Unicode, MIME types are
checked against a list. Nothing is ever unpickled or evaluated.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

Output = dict[str, Any]
Ended = Literal["done", "wall", "memory", "output", "crashed", "forged", "cancelled"]

MAX_OUTPUTS = 1000
"""Outputs of one cell."""
MAX_DEPTH = 24
"""Nesting of a JSON display (plotly figures need about 10)."""
MAX_NODES = 200_000
"""Values in one JSON display."""
_TEXT_TYPES = frozenset({"text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml"})
_BINARY_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"})
_JSON_TYPE = re.compile(r"application/(?:json|(?:vnd|geo)[A-Za-z0-9.+-]{0,80}json)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
_KIND = re.compile(r"[a-z-]{1,40}")


class Hostile(ValueError):
    """A fork said something that the protocol has no place for."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    wall_seconds: int = 300
    """From fork to end; then the whole pid namespace is killed."""
    cell_seconds: int = 30
    """One cell; then it gets a CellTimeoutError and the next cell runs (as with nbgrader)."""
    memory_mb: int = 1024
    """Address space above the pre-imported packages', and resident memory of all its processes."""
    address_space: bool = True
    """False: only resident memory is held to its limit. GPU drivers map far more than they use."""
    disk_mb: int = 64
    """Work folder, /tmp and shared memory together; also the largest file."""
    files: int = 4000
    """Inodes of the above."""
    processes: int = 64
    """Processes and threads."""
    output_bytes: int = 8 * 1024 * 1024
    """Everything it says, framing included; half of it is kept for outputs' text."""
    cell_bytes: int = 2 * 1024 * 1024
    """Outputs of one cell."""


@dataclass(frozen=True)
class Step:
    """One code cell, in the notebook's order."""

    index: int
    """Of the cell in the notebook."""
    source: str
    """What the learner may see of it, as plain Python where it is a test."""
    test: bool = False
    """A grade cell of the instructor's (or a locked cell with hidden parts): protected path."""
    secret: str | None = None
    """Of a test with hidden parts: its whole source. Runs in a snapshot when all cells ran."""
    rest: str | None = None
    """What of `secret` follows `source`, if `secret` is `source` and then this: it runs instead of
    `secret`, in a snapshot made after `source` ran."""
    quiet: bool = False
    """Ends in a semicolon: its last value is not shown."""


@dataclass(frozen=True)
class Job:
    """One notebook of one submission."""

    steps: tuple[Step, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    """The submission's other files and the assignment's, by relative path."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Names that the instructor's imports bind: np -> numpy, mean -> statistics:mean."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment the course wants; empty by default, so that nothing tells grading from a lab."""


@dataclass(frozen=True)
class Flag:
    """Something the instructor should see. `cell` is an index in the notebook, or None: all."""

    cell: int | None
    kind: str
    certain: bool
    """Certain flags score zero (the cell, or everything); others are only shown."""
    detail: str


@dataclass(frozen=True)
class Hidden:
    """All that leaves a snapshot about a test with hidden parts."""

    raised: str | None
    """Class of the error, None when it passed."""
    value: str | None
    """Text of its last expression: partial credit when it is a number."""
    stderr: bool
    """Something was written to stderr (nbgrader scores that zero)."""


@dataclass
class CellResult:
    """What became of one step."""

    outputs: list[Output]
    count: int | None = None
    raised: tuple[str, str, int] | None = None
    """Of a test: class of the error, its message, line of the test (0: it never began)."""
    hidden: Hidden | None = None
    """Of a test with hidden parts: how the whole ended; None: it never ran."""

    @property
    def error(self) -> str:
        """Class of the error that it shows; empty when there is none."""
        if self.raised:
            return self.raised[0]
        return next((o["ename"] for o in self.outputs if o["output_type"] == "error"), "")

    @property
    def stderr(self) -> bool:
        """Something was written to stderr."""
        return any(o.get("name") == "stderr" for o in self.outputs)


@dataclass
class Result:
    """What became of a job. Steps that are missing from `cells` never ran."""

    cells: dict[int, CellResult] = field(default_factory=dict)
    flags: list[Flag] = field(default_factory=list)
    ended: Ended = "done"
    detail: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds: wait (for a free fork), fork, start, execute, transfer."""


def parse(data: bytes) -> dict[str, Any]:
    """One message of a fork's, checked and rebuilt. Raises Hostile."""
    try:
        message = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Hostile(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise Hostile("not an object")
    op = message.get("op")
    if op in ("started", "ended", "died"):
        return {"op": op}
    if op == "settled":
        return {"op": op, "noticed": [_text(w, 80) for w in _list(message.get("noticed"), 40)]}
    if op not in ("cell", "test", "hidden", "lost"):
        raise Hostile("unknown op")
    index = _integer(message.get("i"), 1 << 20)
    if op == "lost":
        return {"op": op, "i": index}
    if op == "hidden":
        return {"op": op, "i": index, **_answer(message), "hidden": _hidden(message)}
    count = _integer(message.get("count"), 1 << 30)
    parsed = {"op": op, "i": index, "count": count, "outputs": _outputs(message.get("outputs"))}
    if op == "cell":
        return parsed
    return {**parsed, **_answer(message), "raised": _raised(message.get("raised"))}


def _answer(message: dict[str, Any]) -> dict[str, Any]:
    """What every answer to a test has."""
    return {
        "nonce": _text(message.get("nonce"), 64),
        "findings": [_finding(f) for f in _list(message.get("findings"), 100)],
        "probed": _raised(message.get("probed")),
    }


def _hidden(message: dict[str, Any]) -> Hidden:
    raised, value = _raised(message.get("raised")), message.get("value")
    shown = None if value is None else _text(value, 200)
    return Hidden(raised and raised[0], shown, message.get("stderr") is not False)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Hostile("not a number in range")
    return value


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise Hostile("not text")
    if len(value) > most:
        raise Hostile(f"text of {len(value)} characters")
    return value.encode("utf-8", "replace").decode()  # lone surrogates cannot be stored


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise Hostile("not a list within bounds")
    return value


def _raised(value: Any) -> tuple[str, str, int] | None:
    if value is None:
        return None
    name, message, line = [*_list(value, 3), None, None, None][:3]
    name = _text(name, 200)
    if not _NAME.fullmatch(name):
        name = "Error"
    return name, _text(message, 2000), _integer(line, 1 << 20)


def _finding(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("certain"), bool):
        raise Hostile("not a finding")
    kind = _text(value.get("kind"), 40)
    if not _KIND.fullmatch(kind):
        raise Hostile("not a kind of finding")
    return {"kind": kind, "detail": _text(value.get("detail"), 300), "certain": value["certain"]}


def _outputs(value: Any) -> list[Output]:
    return [_output(output) for output in _list(value, MAX_OUTPUTS)]


def _output(value: Any) -> Output:
    if not isinstance(value, dict):
        raise Hostile("not an output")
    kind = value.get("output_type")
    limit = 1 << 26
    if kind == "stream":
        name = "stderr" if value.get("name") == "stderr" else "stdout"
        return {"output_type": kind, "name": name, "text": _text(value.get("text"), limit)}
    if kind == "error":
        lines = [_text(line, limit) for line in _list(value.get("traceback"), 10_000)]
        return {"output_type": kind, "ename": _text(value.get("ename"), 1000),
                "evalue": _text(value.get("evalue"), limit), "traceback": lines}  # fmt: skip
    if kind not in ("display_data", "execute_result"):
        raise Hostile("unknown output_type")
    output = {"output_type": kind, "data": _bundle(value.get("data")), "metadata": {}}
    size = _sizes(value.get("metadata"))
    if size:
        output["metadata"] = size
    if kind == "execute_result":
        output["execution_count"] = _integer(value.get("execution_count"), 1 << 30)
    return output


def _bundle(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > 40:
        raise Hostile("not a MIME bundle")
    bundle: dict[str, Any] = {}
    for mime, content in value.items():
        if mime in _TEXT_TYPES:
            bundle[mime] = _text(content, 1 << 26)
        elif mime in _BINARY_TYPES:
            bundle[mime] = _base64(content)
        elif _JSON_TYPE.fullmatch(mime):
            bundle[mime] = _json(content)
        # anything else (JavaScript above all) is left out
    return bundle


def _base64(value: Any) -> str:
    text = _text(value, 1 << 26)
    try:
        base64.b64decode(text.replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise Hostile("an image that is not base64") from None
    return text


def _json(value: Any) -> Any:
    left = MAX_NODES
    stack = [(value, 0)]
    while stack:
        node, depth = stack.pop()
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            raise Hostile("a display too deep or too large")
        if isinstance(node, dict):
            stack += [(child, depth + 1) for child in node.values()]
        elif isinstance(node, list):
            stack += [(child, depth + 1) for child in node]
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace"))


def _sizes(value: Any) -> dict[str, dict[str, int]]:
    """Of metadata only width and height of images and `needs_background` matter to a page."""
    sizes: dict[str, dict[str, int]] = {}
    if not isinstance(value, dict) or len(value) > 40:
        return sizes
    for mime, meta in value.items():
        if mime in _BINARY_TYPES and isinstance(meta, dict):
            kept = {k: meta[k] for k in ("width", "height") if type(meta.get(k)) is int}
            if kept:
                sizes[mime] = kept
    return sizes
