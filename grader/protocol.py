"""What a grading container is asked and what it may answer.

Everything that comes back was in reach of a learner's code: it is size-capped, parsed as JSON and
checked against these shapes. Sources and metadata are never taken from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from grader.explained import Explained

MIME_TYPES = {
    "text/plain",
    "text/html",
    "text/markdown",
    "text/latex",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/svg+xml",
}
"""Kinds of output that are kept: those a page shows without running a script."""

Text = Annotated[str, Field(max_length=64_000_000)]


class SandboxError(Explained):
    """The sandbox itself failed: worth another try. Not the learner's doing."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Cell(_Message):
    """One code cell to run: its place in the notebook, and the source that the learner may see."""

    index: int
    source: str
    test: str | None = None
    """Full source of a test cell, hidden tests included; sent only after the cells ran."""


class Stream(_Message):
    output_type: Literal["stream"]
    name: Literal["stdout", "stderr"]
    text: Text


class Error(_Message):
    output_type: Literal["error"]
    ename: str = Field(max_length=1000)
    evalue: str = Field(max_length=100_000)
    traceback: list[Text] = Field(max_length=2000)


class _Data(_Message):
    data: dict[str, Any]

    @field_validator("data")
    @classmethod
    def _known(cls, data: dict[str, Any]) -> dict[str, str]:
        return {k: v for k, v in data.items() if k in MIME_TYPES and isinstance(v, str)}


class Display(_Data):
    output_type: Literal["display_data"]


class Result(_Data):
    output_type: Literal["execute_result"]
    execution_count: int


Output = Annotated[Stream | Error | Display | Result, Field(discriminator="output_type")]


class RanCell(_Message):
    """What one cell printed and showed."""

    index: int
    count: int | None = None
    outputs: list[Output] = Field(max_length=20_000)


class Test(_Message):
    """How one test cell ended."""

    index: int
    outcome: Literal["pass", "fail", "time", "crash", "not-reached", "forged", "broken-test"]
    value: str | None = Field(None, max_length=400)
    """repr of the test's last expression: partial credit when it is a number."""
    error: str = Field("", max_length=1000)
    """For instructors only: it may quote a hidden test."""
    stderr: bool = False
    canary: bool = True
    changed: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=50)
    seen: str = ""
    """How the part that the learner has ended: pass, fail, time; empty when it did not."""
    noticed: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=50)
    """Worth an instructor's look, proof of nothing."""


class Outcome(BaseModel):
    """One notebook, run."""

    cells: dict[int, RanCell]
    tests: dict[int, Test]
    reason: str = ""
