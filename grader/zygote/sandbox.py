"""The room's `Sandbox`, answered by grading containers that stay: one per set of packages."""

from __future__ import annotations

import ast
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from IPython.core.inputtransformer2 import TransformerManager

from core.i18n import N_
from core.settings import Settings
from core.wire import Lease
from grader.protocol import Cell, Outcome, RanCell, SandboxError, Test
from grader.runner import Task
from grader.zygote.host import DIED_TWICE, NO_CONTAINER, Zygote
from grader.zygote.protocol import CellResult, Ended, Flag, Job, Limits, Result, Step

log = logging.getLogger("grader.zygote")

_KEPT = 2
"""Containers that one worker keeps; the one unused for longest makes room."""
_LIFE_SECONDS = 6 * 3600
_ALIASES = {"np": "numpy", "pd": "pandas"}
_REASONS: dict[Ended, Any] = {
    "done": "", "wall": "time", "memory": "end", "output": "too much", "crashed": "end",
    "forged": "nonsense", "cancelled": "end",
}  # fmt: skip
_FAILED: dict[Ended, Any] = {"wall": "time", "crashed": "crash", "memory": "crash",
                             "forged": "forged"}  # fmt: skip


def limits(settings: Settings, gpu: bool = False) -> Limits:
    """A submission's limits from the settings."""
    given = settings.grader
    output = given.output_mb * 1024 * 1024
    return Limits(
        wall_seconds=given.wall_seconds,
        cell_seconds=max(1, min(given.wall_seconds // 2, 600)),
        memory_mb=given.memory_mb,
        disk_mb=Limits.disk_mb + given.max_submission_mb,
        processes=given.pids,
        output_bytes=2 * output,
        cell_bytes=output,
        address_space=not gpu,
    )


def job(task: Task) -> Job:
    """A task as the zygote wants it (pure). Tests are turned into plain Python here."""
    roots = {name.split(".")[0] for name in task.packages}
    aliases = {root: root for root in roots} | {
        alias: module for alias, module in _ALIASES.items() if module in roots
    }
    steps = tuple(_step(cell) for cell in task.cells)
    return Job(steps, dict(task.files), task.names | aliases)


def _step(cell: Cell) -> Step:
    if cell.test is None:
        return Step(cell.index, cell.source)
    whole, seen = _plain(cell.test), _plain(cell.source)
    quiet = cell.test.rstrip().endswith(";")
    if cell.test == cell.source:
        return Step(cell.index, seen, True, None, None, quiet)
    return Step(cell.index, seen, True, whole, _rest(seen, whole), quiet)


def _rest(seen: str, whole: str) -> str | None:
    """What `whole` does after it did what `seen` does; None when it is not that simple."""
    rest = whole.removeprefix(seen)
    try:
        first, then, both = (ast.parse(text) for text in (seen, rest, whole))
    except (SyntaxError, ValueError):
        return None
    joined = ast.Module([*first.body, *then.body], [])
    simple = ast.dump(joined) == ast.dump(both) and "__future__" not in seen
    return rest if simple else None


def _plain(source: str) -> str:
    return str(TransformerManager().transform_cell(source))


def outcome(task: Task, result: Result) -> Outcome:
    """What came back, in the room's words (pure)."""
    cells: dict[int, RanCell] = {}
    tests: dict[int, Test] = {}
    for cell in task.cells:
        ran = result.cells.get(cell.index)
        if ran is not None and ran.count is not None:
            cells[cell.index] = RanCell.model_validate(
                {"index": cell.index, "count": ran.count, "outputs": ran.outputs}
            )
        if cell.test is not None:
            tests[cell.index] = _test(cell, ran, result)
    return Outcome(cells=cells, tests=tests, reason=_REASONS[result.ended])


def _test(cell: Cell, ran: CellResult | None, result: Result) -> Test:
    hidden = cell.test != cell.source
    if result.ended == "forged":
        return Test(index=cell.index, outcome="forged")
    if ran is None or (hidden and ran.hidden is None):
        return Test(index=cell.index, outcome=_missing(ran, result))
    flags = [f for f in result.flags if f.cell in (None, cell.index)]
    fields: dict[str, Any] = _hidden_fields(ran) if hidden else _visible_fields(ran)
    return Test(
        index=cell.index,
        seen=str(_visible_fields(ran)["outcome"]),
        canary=not any(f.kind == "canary" for f in flags),
        changed=[_words(f) for f in flags if f.certain and f.kind != "canary"][:50],
        noticed=[_words(f) for f in flags if not f.certain][:50],
        **fields,
    )


def _missing(ran: CellResult | None, result: Result) -> Any:
    """Why a test has no answer: its own doing, or it was never reached."""
    if ran is None and result.ended in _FAILED and result.cells:
        return "not-reached"
    return _FAILED.get(result.ended, "crash" if ran is not None else "not-reached")


def _hidden_fields(ran: CellResult) -> dict[str, Any]:
    assert ran.hidden is not None
    raised = ran.hidden.raised
    return {
        "outcome": _ended(raised),
        "value": ran.hidden.value,
        "stderr": ran.hidden.stderr,
        "error": raised or "",
    }


def _visible_fields(ran: CellResult) -> dict[str, Any]:
    raised = ran.raised
    values = [o["data"].get("text/plain") for o in ran.outputs
              if o["output_type"] == "execute_result"]  # fmt: skip
    return {
        "outcome": _ended(ran.error or None),
        "value": str(values[-1])[:400] if values and values[-1] is not None else None,
        "stderr": ran.stderr,
        "error": f"{raised[0]}: {raised[1]}"[:1000] if raised else "",
    }


def _ended(raised: str | None) -> Any:
    if raised is None:
        return "pass"
    return "time" if raised == "CellTimeoutError" else "fail"


def _words(flag: Flag) -> str:
    return f"{flag.detail} ({flag.kind})"[:300]


def modules(notebook: Any) -> list[str]:
    """What an instructor's notebook imports: worth importing once for all its submissions.

    Only for notebooks that no learner wrote. Cells that are not Python give nothing.
    """
    found: set[str] = set()
    for node in _imports(notebook):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        else:
            found.add(str(node.module))
    return sorted(found)


def given_names(notebook: Any) -> dict[str, str]:
    """Names that an instructor's imports give, with what they stand for: see `Task.names`."""
    found: dict[str, str] = {}
    for node in _imports(notebook):
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                found[alias.asname or alias.name] = f"{node.module}:{alias.name}"
            elif alias.asname:
                found[alias.asname] = alias.name
    return found


def _imports(notebook: Any) -> Iterator[ast.Import | ast.ImportFrom]:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                tree = ast.parse(_plain(cell.source))
            except (SyntaxError, ValueError):
                continue
            for node in ast.walk(tree):
                of_module = isinstance(node, ast.ImportFrom) and node.module and not node.level
                if isinstance(node, ast.Import) or of_module:
                    yield node  # type: ignore[misc]


def _on_gpu(lease: Lease | None) -> bool:
    return lease is not None and not all(slot.simulated for slot in lease.slots)


class ZygoteSandbox:
    """Grading containers by their packages. Thread-safe; `close` removes them.

    `parallel` notebooks run at once in each. With a `lease` it has one container, on the leased
    GPU, which is not started again when it ended: its time is over then. Raises SandboxError from
    `run` when Docker fails.
    """

    def __init__(self, settings: Settings, parallel: int = 2, lease: Lease | None = None) -> None:
        self._settings = settings
        self._lease = lease
        self._parallel = parallel
        self._lock = threading.Lock()
        self._zygotes: OrderedDict[tuple[str, ...], tuple[float, Zygote]] = OrderedDict()
        self._client: docker.DockerClient | None = None
        self.timings: list[dict[str, float]] = []
        """Of each job so far, in seconds; for the benchmark."""

    def run(self, task: Task) -> Outcome:
        """Run one notebook. Raises SandboxError."""
        try:
            zygote = self.zygote(tuple(sorted(task.packages)))
            result = zygote.run(job(task))
        except ImageNotFound:
            image = self._settings.labs.sandbox_image
            text = N_("The grading image %(image)s is missing. Run ./dli up on the machine.")
            raise SandboxError(text, image=image) from None
        except (DockerException, OSError) as error:
            raise SandboxError(NO_CONTAINER, detail=str(error)) from None
        if result.detail == DIED_TWICE:
            raise SandboxError(N_("The grading container ended twice while this ran."))
        self.timings.append(result.timings)
        return outcome(task, result)

    def start(self, packages: list[str]) -> str:
        """Start the container for these packages now; its id. Raises SandboxError."""
        try:
            zygote = self.zygote(tuple(sorted(packages)))
            zygote.start()
            return zygote.container_id
        except (DockerException, OSError) as error:
            raise SandboxError(NO_CONTAINER, detail=str(error)) from None

    def zygote(self, packages: tuple[str, ...]) -> Zygote:
        """The container for these packages, made when there is none."""
        with self._lock:
            made, zygote = self._zygotes.pop(packages, (time.monotonic(), None))
            if zygote is not None and time.monotonic() - made > _LIFE_SECONDS:
                zygote.close()
                made, zygote = time.monotonic(), None
            if zygote is None:
                zygote = Zygote(
                    self._engine(), self._settings.labs.sandbox_image, list(packages),
                    limits(self._settings, _on_gpu(self._lease)), self._settings.instance,
                    self._parallel, self._lease,
                )  # fmt: skip
            self._zygotes[packages] = (made, zygote)
            while len(self._zygotes) > _KEPT:
                self._zygotes.popitem(last=False)[1][1].close()
            return zygote

    def remove_leftovers(self) -> None:
        """Remove containers of this instance whose time is over: a killed engine's. SandboxError.

        A killed worker's end by themselves, when nobody holds their input any more.
        """
        label = [f"dli.instance={self._settings.instance}", "dli.kind=grading"]
        try:
            client = self._engine()
            for container in client.containers.list(all=True, filters={"label": label}):
                if float(container.labels.get("dli.until", "0")) < time.time():
                    container.remove(force=True)
        except DockerException as error:
            raise SandboxError(NO_CONTAINER, detail=str(error)) from None

    def _engine(self) -> docker.DockerClient:
        if self._client is None:
            self._client = docker.from_env(timeout=60)
        return self._client

    def close(self) -> None:
        """Remove all containers."""
        with self._lock:
            while self._zygotes:
                self._zygotes.popitem()[1][1].close()
            if self._client is not None:
                self._client.close()
                self._client = None

    def __enter__(self) -> ZygoteSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
