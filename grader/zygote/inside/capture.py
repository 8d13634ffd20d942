"""What a cell shows, as notebook outputs, cut off at the source when it is too much."""

from __future__ import annotations

import io
import os
from typing import Any

Output = dict[str, Any]
CUT = "\n... Output truncated ...\n"


class Capture:
    """Outputs of the running cell. Sizes are characters; each display counts with all its forms."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.room = 0
        self.count = 0
        """Execution count of the running cell."""
        self.shown: dict[str, list[Output]] = {}
        self.cleared = False
        self.descriptors: dict[str, int] = {}

    def begin(self, room: int, count: int) -> None:
        """Start cell number `count`, which may show `room` characters."""
        self.outputs, self.room, self.cleared, self.count = [], room, False, count

    def redirect(self) -> None:
        """Send file descriptors 1 and 2 (C code, child processes) to memory files."""
        for number, name in ((1, "stdout"), (2, "stderr")):
            fd = os.memfd_create(name)
            os.dup2(fd, number)
            os.close(fd)
            self.descriptors[name] = number

    def drain(self) -> None:
        """Take up what was written to the descriptors themselves."""
        for name, fd in self.descriptors.items():
            size = os.lseek(fd, 0, os.SEEK_END)
            if size:
                text = os.pread(fd, min(size, self.room + 1000), 0).decode("utf-8", "replace")
                os.ftruncate(fd, 0)
                os.lseek(fd, 0, os.SEEK_SET)
                self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Text to a stream; runs of one stream are one output."""
        self._clear_pending()
        if self.room <= 0 or not text:
            return
        if len(text) > self.room:
            text = text[: self.room] + CUT
        self.room -= len(text)
        last = self.outputs[-1] if self.outputs else None
        if last and last["output_type"] == "stream" and last["name"] == name:
            last["text"].append(text)
        else:
            self.outputs.append({"output_type": "stream", "name": name, "text": [text]})

    def add(self, output: Output, display_id: str | None = None) -> None:
        """A display, result or error."""
        self._clear_pending()
        cost = len(repr(output))
        if cost > self.room:
            self.write("stderr" if output["output_type"] == "error" else "stdout", CUT)
            if output["output_type"] != "error":
                return
            output = {**output, "traceback": [], "evalue": output["evalue"][:200]}
            cost = len(repr(output))
        self.room -= cost
        self.outputs.append(output)
        if display_id:
            self.shown.setdefault(display_id, []).append(output)

    def update(self, display_id: str, data: Output, metadata: Output) -> None:
        """Change every display of that id (progress bars)."""
        cost = len(repr(data))
        if cost <= self.room:
            self.room -= cost
            for output in self.shown.get(display_id, []):
                output["data"], output["metadata"] = data, metadata

    def clear(self, wait: bool) -> None:
        """clear_output: now, or when the next output comes."""
        self.cleared = True
        if not wait:
            self._clear_pending()

    def _clear_pending(self) -> None:
        if self.cleared:
            self.outputs, self.cleared = [], False

    def end(self) -> list[Output]:
        """The cell's outputs in nbformat's shape."""
        self.drain()
        return [
            {**o, "text": "".join(o["text"])} if o["output_type"] == "stream" else o
            for o in self.outputs
        ]


class Stream(io.TextIOBase):
    """sys.stdout and sys.stderr of a notebook."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, capture: Capture, name: str) -> None:
        self._capture = capture
        self.name = name

    def write(self, text: str) -> int:
        """Keep text; what child processes wrote before comes before it."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        self._capture.drain()
        self._capture.write(self.name, text)
        return len(text)

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """No: a notebook."""
        return False

    def fileno(self) -> int:
        """The descriptor below, for subprocess."""
        return {"stdout": 1, "stderr": 2}[self.name]


def words(value: Any) -> str:
    """str(value); a learner's __str__ may do anything, its failure is text too."""
    try:
        return str(value)
    except BaseException:
        return "<unprintable>"
