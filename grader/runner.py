"""What the room asks of whatever runs notebooks: one task in, one outcome out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from grader.protocol import Cell, Outcome


@dataclass(frozen=True)
class Task:
    """One notebook to run."""

    cells: list[Cell]
    files: dict[str, bytes]
    """The submission's other files and the instructor's, by relative name."""
    packages: list[str]
    """Imported before the learner's code."""
    names: dict[str, str] = field(default_factory=dict)
    """What the instructor's imports give names to: ``module`` or ``module:name``."""


class Sandbox(Protocol):
    """Runs one notebook where it can harm nobody."""

    def run(self, task: Task) -> Outcome:
        """Raises SandboxError when the sandbox itself failed."""
