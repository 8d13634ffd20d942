"""Put an assignment into a lab at its start: ``python -m grader.exchange.autofetch C A FOLDER``.

FOLDER is the assignment's own folder, or its parent: ``~/intro`` and ``~/intro/digits`` both mean
``~/intro/digits``. What the learner already has is never touched. Never fails a lab's start: what
went wrong is one line on standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grader.exchange import archive
from grader.exchange.client import Client, Refused, Unavailable

_QUICK = (0.2, 0.5)
"""Two retries: a lab's start waits for this."""


def fetch(client: Client, course: str, assignment: str, folder: Path) -> bool:
    """Fetch unless the folder is there; True when it is now. Raises Refused, Unavailable."""
    target = folder if folder.name == assignment else folder / assignment
    if target.exists():
        return True
    archive.unpack(client.release(course, assignment), target)
    return True


def main(arguments: list[str]) -> int:
    """0 when the assignment is there, 1 when not, 2 for wrong arguments."""
    if len(arguments) != 3:
        print(
            "usage: python -m grader.exchange.autofetch COURSE ASSIGNMENT FOLDER", file=sys.stderr
        )
        return 2
    course, assignment, folder = arguments
    try:
        client = Client.from_environment(delays=_QUICK)
        fetch(client, course, assignment, Path(folder).expanduser())
    except (Refused, Unavailable, OSError) as error:
        print(f"autofetch {course}/{assignment}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
