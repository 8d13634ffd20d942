"""What a fork says is hostile input: every shape but the right one is refused, none harms."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.protocol import Cell
from grader.runner import Task
from grader.zygote.inside import frames, seccomp
from grader.zygote.protocol import CellResult, Flag, Hidden, Hostile, Result, parse
from grader.zygote.sandbox import job, outcome

GOOD: dict[str, Any] = {"op": "cell", "i": 1, "count": 2, "outputs": []}


def spoken(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def display(data: Any) -> bytes:
    return spoken(outputs=[{"output_type": "display_data", "data": data, "metadata": {}}])


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"1" * 5000, b"[" * 100_000, b'{"op":' * 50_000,
        b"\x80\x04\x95pickle", spoken(op="else"), spoken(i=-1), spoken(i=1.5), spoken(i=True),
        spoken(i=1 << 40), spoken(count=None), spoken(outputs={}), spoken(outputs=[1]),
        spoken(outputs=[{"output_type": "update"}]), spoken(outputs=[{}] * 2000),
        spoken(outputs=[{"output_type": "stream", "name": "stdout", "text": 5}]),
        display([]), display({"text/plain": ["a"]}), display({"image/png": "<script>"}),
        spoken(outputs=[{"output_type": "error", "ename": "E", "evalue": "", "traceback": "x"}]),
        b'{"op": "cell", "i": NaN, "count": 1, "outputs": []}',
        json.dumps({"op": "test", "i": 1, "count": 1, "outputs": [], "nonce": 5}).encode(),
        json.dumps({"op": "hidden", "i": 1, "nonce": "n" * 100, "findings": []}).encode(),
        json.dumps({"op": "hidden", "i": 1, "nonce": "n", "findings": [{"kind": "<b>"}]}).encode(),
    ],
)  # fmt: skip
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Hostile):
        parse(data)


def test_a_deep_or_huge_display_is_refused() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(Hostile):
        parse(display({"application/json": deep}))
    with pytest.raises(Hostile):
        parse(display({"application/vnd.plotly.v1+json": [0] * 300_000}))


def test_scripts_are_left_out_and_text_is_made_fit_to_store() -> None:
    data = {"application/javascript": "alert(1)", "text/x-evil": "x", "text/plain": "a\ud800b"}
    (shown,) = parse(display(data))["outputs"]
    assert shown["data"] == {"text/plain": "a?b"}


@settings(max_examples=300, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(
        ["cell", "test", "hidden", "stream", "op", "outputs", "display_data", "data"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["op", "i", "outputs", "data", "count", "output_type", "name", "text",
                         "nonce", "findings", "raised"]) | st.text(max_size=5), inner, max_size=6),
    max_leaves=30,
))  # fmt: skip
def test_parse_answers_or_refuses(value: Any) -> None:
    for message in (value, {**GOOD, "outputs": [value]}, {"op": "test", **GOOD, "raised": value}):
        with contextlib.suppress(Hostile):
            parse(json.dumps(message).encode())


@given(st.binary(max_size=400), st.integers(1, 50))
def test_frames_survive_any_cut_and_any_bytes(data: bytes, size: int) -> None:
    sent = frames.pack(7, frames.DATA, data) + frames.pack(8, frames.EXIT, b"{}")
    splitter = frames.Splitter()
    got = [f for at in range(0, len(sent), size) for f in splitter.feed(sent[at : at + size])]
    assert got == [(7, frames.DATA, data), (8, frames.EXIT, b"{}")]


def test_a_frame_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="frame of"):
        frames.Splitter().feed(frames.HEAD.pack(frames.MAX_FRAME + 1, 1, frames.DATA))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_whole(machine: str) -> None:
    program = seccomp.program(machine)
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096
    for at in range(len(program) // 8):  # every jump lands inside
        code, yes, no = (
            program[8 * at] | program[8 * at + 1] << 8,
            program[8 * at + 2],
            program[8 * at + 3],
        )
        if code & 7 == 5:
            assert at + 1 + max(yes, no) < len(program) // 8


TEST = "assert f(1) == 2\n### BEGIN HIDDEN TESTS\nassert f(2) == 4\n### END HIDDEN TESTS"
SEEN = "assert f(1) == 2"


def task() -> Task:
    cells = [Cell(index=0, source="def f(x): return 2 * x"), Cell(index=1, source=SEEN, test=TEST),
             Cell(index=2, source="%time 1", test="%time 1")]  # fmt: skip
    return Task(cells, {}, ["numpy.linalg"])


def test_a_hidden_part_goes_apart_and_magics_become_python() -> None:
    first, second, third = job(task()).steps
    assert (first.test, first.secret) == (False, None)
    assert "f(2)" not in second.source
    assert second.secret is not None
    assert "f(2)" in second.secret
    assert third.secret is None
    assert third.source.startswith("get_ipython()")
    assert job(task()).aliases == {"numpy": "numpy", "np": "numpy"}


def told(result: Result) -> dict[int, str]:
    return {index: test.outcome for index, test in outcome(task(), result).tests.items()}


def test_results_become_the_rooms_words() -> None:
    visible = CellResult([], 3, None)
    hidden = CellResult([], 2, None, Hidden(None, "1.5", stderr=False))
    good = Result({0: CellResult([], 1), 1: hidden, 2: visible})
    assert told(good) == {1: "pass", 2: "pass"}
    assert outcome(task(), good).tests[1].value == "1.5"
    failed = CellResult([], 2, None, Hidden("AssertionError", None, stderr=False))
    late = CellResult([], 2, ("CellTimeoutError", "", 1))
    assert told(Result({1: failed, 2: late})) == {1: "fail", 2: "time"}
    lost = Result({0: CellResult([], 1), 1: CellResult([], 2)}, ended="crashed")
    assert told(lost) == {1: "crash", 2: "not-reached"}
    assert told(Result({1: hidden}, ended="forged")) == {1: "forged", 2: "forged"}


def test_only_certain_flags_count_against_a_cell() -> None:
    hidden = CellResult([], 2, None, Hidden(None, None, stderr=False))
    flags = [Flag(1, "threads", False, "still run"), Flag(1, "canary", True, "passed"),
             Flag(2, "replaced-function", True, "numpy.allclose")]  # fmt: skip
    made = outcome(task(), Result({1: hidden, 2: CellResult([], 3)}, flags)).tests
    assert (made[1].canary, made[1].changed) == (False, [])
    assert made[1].noticed == ["still run (threads)"]
    assert made[2].changed == ["numpy.allclose (replaced-function)"]
