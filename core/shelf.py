"""The courses there are, looked at anew while a service runs.

A course that is added, changed or removed is seen within a few seconds, without a restart. One that
cannot be used stays as it last was, or away, and is logged; the others are not held up by it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.course import Course, CourseError, load
from core.log import event

_LOG = logging.getLogger("courses")
LOOK_SECONDS = 3.0
"""Between two looks at the folder."""

_Stamp = tuple[int, int]


class Shelf(Mapping[str, Course]):
    """Courses by id: a mapping that follows `courses_dir`."""

    def __init__(self, courses_dir: Path, images: dict[str, str]) -> None:
        """Reads every course. Raises CourseError for the first wrong one: a start is refused."""
        self._folder = courses_dir
        self._images = images
        self._lock = threading.Lock()
        self._stamps: dict[str, _Stamp] = {}
        self._courses: dict[str, Course] = {}
        self._refused: dict[str, str] = {}
        self._looked_at = time.monotonic()
        self.version = 0
        """Grows with every change."""
        for name, stamp in self._seen().items():
            self._courses[name] = load(courses_dir / name, images)
            self._stamps[name] = stamp

    def __getitem__(self, course: str) -> Course:
        return self._now()[course]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, Course]:
        if time.monotonic() - self._looked_at >= LOOK_SECONDS and self._lock.acquire(False):
            try:
                self._look()
                self._looked_at = time.monotonic()
            finally:
                self._lock.release()
        return self._courses

    def _look(self) -> None:
        seen = self._seen()
        if seen == self._stamps:
            return
        courses = {name: course for name, course in self._courses.items() if name in seen}
        stamps = {}
        for name, stamp in seen.items():
            if self._stamps.get(name) == stamp:
                stamps[name] = stamp
                continue
            try:
                courses[name] = load(self._folder / name, self._images)
                stamps[name] = stamp
            except CourseError as error:  # no stamp: tried again at the next look
                if self._refused.get(name) != str(error):
                    event(_LOG, "course not read", course=name, reason=str(error))
                self._refused[name] = str(error)
            else:
                self._refused.pop(name, None)
        if courses != self._courses:
            self.version += 1
            event(_LOG, "courses read again", courses=sorted(courses))
        self._courses, self._stamps = dict(sorted(courses.items())), stamps

    def _seen(self) -> dict[str, _Stamp]:
        """Every course.toml there is, with what tells a change."""
        found = {}
        for file in sorted(self._folder.glob("*/course.toml")):
            try:
                stat = file.stat()
            except OSError:  # went away meanwhile
                continue
            found[file.parent.name] = (stat.st_mtime_ns, stat.st_size)
        return found
