"""Progress that a person can follow: each step's name, time and what it is doing now.

On a terminal a step is one live line. Elsewhere (a log, CI) each step prints plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

Report = Callable[[str], None]
"""Called with one line saying what a step is doing now."""

_PLAIN_EVERY_S = 5.0


class Step:
    """One running step. `detail` says what it does now; `note` stays on its finished line."""

    def __init__(self, title: str, say: Report) -> None:
        self.title = title
        self.current = ""
        self.result = ""
        self.started = time.monotonic()
        self._say = say

    def detail(self, text: str) -> None:
        """Show `text` as what the step is doing at the moment."""
        self.current = text.strip().replace("\n", " ")
        self._say(self.current)

    def note(self, text: str) -> None:
        """Keep `text` on the step's finished line."""
        self.result = text

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started


class Steps:
    """Runs steps one after another and shows them on `console`."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show `title` as running for the time of the block; a cross and the error pass through."""
        step = Step(title, self._speaker(title))
        try:
            with _live(self.console, step) if self.console.is_terminal else nullcontext():
                yield step
        except BaseException:
            self._finish("✗", "red", step)
            raise
        self._finish("✓", "green", step)

    def _speaker(self, title: str) -> Report:
        """What shows a detail: nothing on a terminal, where the live line asks for it."""
        if self.console.is_terminal:
            return lambda _text: None
        self.console.print(Text(f"… {title}"), soft_wrap=True)
        started = last_said = time.monotonic()

        def say(text: str) -> None:
            nonlocal last_said
            now = time.monotonic()
            if now - last_said >= _PLAIN_EVERY_S:
                last_said = now
                line = Text(f"  {_duration(now - started)}  {text}")
                self.console.print(line, soft_wrap=True)

        return say

    def _finish(self, mark: str, colour: str, step: Step) -> None:
        line = Text.assemble(
            (f"{mark} ", colour), step.title, (f"  {_duration(step.seconds)}", "dim")
        )
        if step.result:
            line.append(f"  {step.result}", "cyan")
        self.console.print(line)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


class _Line:
    """The live line; asked by Rich at every refresh, so that the time runs."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.spinner = Spinner("dots")

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        time_text = Text(_duration(self.step.seconds), style="dim")
        detail = Text(self.step.current, style="dim", overflow="ellipsis", no_wrap=True)
        grid.add_row(self.spinner, self.step.title, time_text, detail)
        return grid


def _live(console: Console, step: Step) -> Live:
    return Live(_Line(step), console=console, transient=True, refresh_per_second=8)
