"""Every parser that reads what other people wrote, under Hypothesis: does any crash or hang?

Each target gets well-formed inputs, inputs with a few bytes changed, and noise. A parser may refuse
with its own error; any other exception is a crash, more than `HANG_S` for one input a hang.

    ./dli bench fuzz            100,000 inputs
"""

from __future__ import annotations

import io
import json
import logging
import signal
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from core.settings import Settings
from grader import intake
from grader.exchange import archive
from grader.zygote import protocol
from grader.zygote.inside import frames
from labs.runner import rules
from usage.roster.parse import RosterError, parse_roster

HANG_S = 2.0
"""Processor time for one input; fifteen times as long by the clock, for what waits."""
_KEPT = 5

# -- inputs

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
_CHANGE = st.tuples(st.integers(0, 1 << 16), st.integers(0, 6), st.binary(max_size=6))


def _changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Cut, overwrite and insert a few bytes."""
    for place, cut, more in changes:
        at = place % (len(data) + 1)
        data = data[:at] + more + data[at + cut :]
    return data


def _spoiled(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly `whole` with a few changes, sometimes noise."""
    return st.builds(_changed, whole, st.lists(_CHANGE, max_size=4)) | st.binary(max_size=300)


_CELL = st.sampled_from(
    ["kim@example.kr", "김하나", "=1+1", "lee", "instructor", "조교", "", '"', '"a\nb"', "x" * 300,
     "\0", "\u202e", "a,b", "'", "\ufeff", "\x1b[31m"]
) | st.text(max_size=12)  # fmt: skip
_HEAD = st.sampled_from(
    ["email", "이메일", "username", "SIS Login ID", "First name", "성", "이름", "role", "status",
     "Points Possible", "", "sep="]
)  # fmt: skip


def _sheet(rows: list[list[str]], delimiter: str, encoding: str) -> bytes:
    return "\r\n".join(delimiter.join(row) for row in rows).encode(encoding, "replace")


ROSTERS = _spoiled(
    st.builds(
        lambda heads, rows, delimiter, encoding: _sheet([heads, *rows], delimiter, encoding),
        st.lists(_HEAD, min_size=1, max_size=6),
        st.lists(st.lists(_CELL, max_size=7), max_size=6),
        st.sampled_from([",", ";", "\t"]),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp949"]),
    )
)


def _notebook(sources: list[str], odd: Any, key: str) -> bytes:
    shown = new_output("display_data", {"text/html": "<b>x</b>", "image/png": "AAAA"})
    book = new_notebook(cells=[new_code_cell(s, outputs=[shown]) for s in sources])
    book.cells.append(new_markdown_cell("text"))
    place: Any = book.cells[0] if sources and len(key) % 2 else book
    place[key or "metadata"] = odd
    return json.dumps(book).encode()


NOTEBOOKS = _spoiled(
    st.builds(
        _notebook,
        st.lists(st.text(max_size=20), max_size=3),
        _JSON,
        st.sampled_from(
            ["cells", "metadata", "nbformat", "nbformat_minor", "outputs", "id", "cell_type",
             "source", "execution_count", "attachments", "worksheets", ""]),
    )
) | st.builds(lambda value: json.dumps(value).encode(), _JSON)  # fmt: skip
NOTEBOOKS |= _spoiled(st.just(_notebook(["a = 1", "b"], {}, "metadata")))

_NAMES = st.sampled_from(
    ["nb.ipynb", "../x", "/etc/passwd", "a/b/c.txt", "a//b", ".", "x" * 300, "\u202e.py",
     "timestamp.txt", "nb.ipynb/x", "C:\\x", "한글.txt"]
) | st.text(max_size=20)  # fmt: skip


def _tar(members: list[tuple[str, bytes, bytes, str]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data, link in members:
            info = tarfile.TarInfo(name.replace("\0", ""))
            info.type, info.size, info.linkname = kind, len(data), link.replace("\0", "")
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


_KINDS = [
    *[tarfile.REGTYPE] * 6, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
    tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE,
]  # fmt: skip
_EMPTY = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
ARCHIVES = _spoiled(
    st.lists(
        st.tuples(
            _NAMES, st.sampled_from(_KINDS), st.just(_EMPTY) | st.binary(max_size=40), _NAMES
        ),
        max_size=4,
    ).map(_tar)
)
FRAMES = st.lists(
    st.binary(max_size=40)
    | st.builds(frames.pack, st.integers(0, 9), st.integers(0, 255), st.binary(max_size=30)),
    max_size=6,
)
_OUTPUT = st.fixed_dictionaries(
    {"output_type": st.sampled_from(["stream", "error", "display_data", "execute_result", "x"])},
    optional={"text": _JSON, "data": st.dictionaries(
        st.sampled_from(["text/plain", "image/png", "application/json", "text/html", "x"]), _JSON),
        "metadata": _JSON, "traceback": _JSON, "ename": _JSON, "evalue": _JSON,
        "execution_count": _JSON},
)  # fmt: skip
MESSAGES = _spoiled(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["cell", "test", "hidden", "lost", "started"]),
         "i": st.integers(-1, 9)},
        optional={"count": st.integers(-1, 9), "outputs": st.lists(_OUTPUT, max_size=3) | _JSON,
                  "raised": _JSON, "findings": _JSON, "nonce": _JSON, "value": _JSON},
    ).map(lambda message: json.dumps(message).encode())
)  # fmt: skip
BODIES = st.dictionaries(
    st.sampled_from(["Labels", "HostConfig", "Image", "Env", "Cmd", "Entrypoint", "User", "Name",
                     "WorkingDir", "Driver", "hostconfig"]) | st.text(max_size=6),
    _JSON,
) | _JSON  # fmt: skip


# -- targets


@dataclass
class Target:
    """One parser: its inputs, how to call it, and the errors by which it may refuse."""

    name: str
    inputs: st.SearchStrategy[Any]
    call: Callable[[Any, Path], object]
    refusals: tuple[type[Exception], ...]
    tried: int = 0
    accepted: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    found: list[str] = field(default_factory=list)


def _check_archive(data: bytes, folder: Path) -> None:
    file = folder / "upload.tar"
    file.write_bytes(data)
    intake.check(file, 1 << 20, 50)


def _unpack(data: bytes, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        inside = Path(name) / "a"
        try:
            archive.unpack(data, inside / "course")
        finally:
            if [p for p in inside.parent.iterdir() if p != inside] or {
                p.name for p in inside.iterdir()
            } - {"course"}:
                raise RuntimeError("something was written outside")


def _split(chunks: list[bytes], _folder: Path) -> None:
    splitter = frames.Splitter()
    for chunk in chunks:
        for _job, _kind, payload in splitter.feed(chunk):
            protocol.parse(payload)


def _rules(body: Any, _folder: Path) -> None:
    policy = rules.Policy.of(Settings(instance="t"))
    try:
        rules.volume(body, policy)
    except rules.Forbidden:
        rules.lease_named(body)
        rules.container(body, "t-lab-kim", policy, None)


def targets() -> list[Target]:
    """Every parser of other people's input."""
    tar_errors = (archive.NotRegular, tarfile.TarError, EOFError, OSError, ValueError)
    return [
        Target("roster (CSV)", ROSTERS, lambda d, _f: parse_roster(d), (RosterError,)),
        Target("notebook", NOTEBOOKS, lambda d, _f: intake.parse_notebook("nb.ipynb", d),
               (intake.Unacceptable,)),
        Target("submission (tar)", ARCHIVES, _check_archive, (intake.Unacceptable,)),
        Target("fetched course (tar)", ARCHIVES, _unpack, tar_errors),
        Target("grading frames", FRAMES, _split, (ValueError,)),
        Target("grading messages", MESSAGES, lambda d, _f: protocol.parse(d), (protocol.Hostile,)),
        Target("runner bodies", BODIES, _rules, (rules.Forbidden,)),
    ]  # fmt: skip


class _Hang(BaseException):
    """Raised inside a parser that takes too long; no parser catches it."""


@contextmanager
def _watched() -> Iterator[None]:
    armed = [True]

    def ring(_number: int, _frame: object) -> None:
        if armed[0]:  # a signal may arrive a moment late
            raise _Hang

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 15))
    before = [signal.signal(number, ring) for _timer, number, _times in timers]
    for timer, _number, times in timers:
        signal.setitimer(timer, HANG_S * times)
    try:
        yield
    finally:
        armed[0] = False
        for (timer, number, _times), earlier in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, earlier)


def _try(target: Target, given_input: Any, folder: Path) -> None:
    target.tried += 1
    began = time.perf_counter()
    try:
        with _watched():
            target.call(given_input, folder)
        target.accepted += 1
    except target.refusals:
        pass
    except _Hang:
        target.hangs += 1
        target.found.append(f"hang: {given_input!r:.500}")
    except Exception as error:
        target.crashes += 1
        target.found.append(f"{type(error).__name__}: {error!s:.200} for {given_input!r:.500}")
    target.slowest_s = max(target.slowest_s, time.perf_counter() - began)


def fuzz(target: Target, inputs: int) -> None:
    """Try `inputs` inputs, more or less; what happened is noted in `target`."""
    with tempfile.TemporaryDirectory(prefix="dli-fuzz-") as name:
        folder = Path(name)

        @settings(
            max_examples=inputs, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(target.inputs)
        def attempt(given_input: Any) -> None:
            _try(target, given_input, folder)

        while target.tried < inputs:  # Hypothesis ends early where it knows all there is
            attempt()


def main(
    say: Callable[[str], None], n: int = 100_000
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Spread `n` inputs over the targets."""
    rows = []
    found = targets()
    logging.disable(logging.ERROR)  # nbformat logs every notebook that it refuses
    warnings.simplefilter("ignore")
    for target in found:
        say(target.name)
        fuzz(target, -(-n // len(found)))
        for line in target.found[:_KEPT]:
            say(f"{target.name}: {line}")
        rows.append(
            {
                "parser": target.name,
                "inputs": target.tried,
                "accepted": target.accepted,
                "crashes": target.crashes,
                "hangs": target.hangs,
                "slowest (s)": target.slowest_s,
            }
        )
    return rows, {
        "inputs": sum(t.tried for t in found),
        "crashes": sum(t.crashes for t in found),
        "hangs": sum(t.hangs for t in found),
    }
