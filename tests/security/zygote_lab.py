"""A class of attackers: small notebooks run in the real grading zygote and scored by nbgrader."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import docker
from nbformat import v4
from nbgrader.utils import determine_grade

from core.settings import Settings
from grader import outcomes
from grader.outcomes import Told
from grader.protocol import Cell, Outcome
from grader.runner import Task
from grader.zygote import sandbox as room
from grader.zygote.host import Zygote
from grader.zygote.protocol import Limits, Result

IMAGE = Settings().labs.sandbox_image
SECRET = "the-secret-of-the-hidden-test"
LIMITS = Limits(
    wall_seconds=12, cell_seconds=4, memory_mb=512, disk_mb=16, files=500, processes=40,
    output_bytes=4 << 20, cell_bytes=1 << 20,
)  # fmt: skip


@dataclass
class Seen:
    """What became of one notebook."""

    points: dict[str, float | None]
    """By grade id."""
    told: Told
    outcome: Outcome
    result: Result
    notebook: Any

    @property
    def text(self) -> str:
        """Everything that any page could show of it."""
        return str([cell.get("outputs") for cell in self.notebook.cells])

    def printed(self, index: int = 0) -> str:
        """What the cell wrote to standard output."""
        outputs = self.notebook.cells[index].outputs
        return "".join(o.text for o in outputs if o.output_type == "stream")

    @property
    def flags(self) -> set[str]:
        """Kinds of flags for the instructor."""
        return {flag["flag"] for flag in self.told.flags}


@dataclass
class Lab:
    """One zygote for a module of tests."""

    zygote: Zygote
    client: docker.DockerClient
    instance: str
    packages: list[str] = field(default_factory=lambda: ["numpy"])

    def grade(
        self,
        *cells: str | tuple[str, str | None],
        files: dict[str, bytes] | None = None,
        names: dict[str, str] | None = None,
    ) -> Seen:
        """Run cells: text is the learner's; (visible, hidden) is a test of two points."""
        notebook = v4.new_notebook()
        asked = []
        for index, cell in enumerate(cells):
            if isinstance(cell, str):
                notebook.cells.append(v4.new_code_cell(cell))
                asked.append(Cell(index=index, source=cell))
                continue
            visible, hidden = cell
            whole = visible if hidden is None else (
                f"{visible}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
            )  # fmt: skip
            made = v4.new_code_cell(whole)
            made.metadata["nbgrader"] = {
                "grade_id": f"t{index}", "grade": True, "solution": False, "locked": True,
                "points": 2, "schema_version": 3, "task": False,
            }  # fmt: skip
            notebook.cells.append(made)
            asked.append(Cell(index=index, source=visible, test=whole))
        task = Task(asked, files or {}, self.packages, names or {})
        result = self.zygote.run(room.job(task))
        outcome = room.outcome(task, result)
        told = outcomes.merge(notebook, asked, outcome, "en")
        points = {
            cell.metadata["nbgrader"]["grade_id"]: determine_grade(cell)[0]
            for cell in notebook.cells
            if "nbgrader" in cell.metadata
        }
        return Seen(points, told, outcome, result, notebook)

    def processes(self) -> list[str]:
        """Commands that run in the container now."""
        found = self.client.containers.list(filters={"label": f"dli.instance={self.instance}"})
        return [row[-1] for container in found for row in container.top()["Processes"]]


@contextlib.contextmanager
def lab(packages: list[str], limits: Limits = LIMITS) -> Iterator[Lab]:
    """A zygote of this test process's own, removed afterwards."""
    instance = f"zygtest{os.getpid()}"
    client = docker.from_env(timeout=60)
    with Zygote(client, IMAGE, packages, limits, instance) as zygote:
        zygote.start()
        yield Lab(zygote, client, instance, packages)
    client.close()
