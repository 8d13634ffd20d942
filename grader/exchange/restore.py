"""Bring back a version that was submitted. Nothing that lies in the lab is ever overwritten.

    python -m grader.exchange.restore COURSE ASSIGNMENT              lists the versions
    python -m grader.exchange.restore COURSE ASSIGNMENT 2            attempt 2, beside the work
    python -m grader.exchange.restore COURSE ASSIGNMENT 2 --replace  in its place; the work is kept

Pages in a lab call `Client.submissions` (each version with receipt, date, late, and its score once
released) and `restore`. What is not saved yet lives in the browser: save it before a restore.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grader.exchange import archive
from grader.exchange.client import Client, Json, Refused, Unavailable


@dataclass(frozen=True)
class Restored:
    """Where a version lies now, and where the work lies that was there before."""

    folder: Path
    kept: Path | None = None


def restore(client: Client, version: Json, work: Path, replace: bool = False) -> Restored:
    """Bring back `version` (one of `Client.submissions`), which was submitted from folder `work`.

    It comes to ``<work>-attempt-<n>`` beside it. With `replace` it takes the place of `work`, and
    what was there is kept as ``<work>-before-<date and time>``; only whole folders change their
    names, so that a crash loses nothing. Raises Refused, Unavailable, archive.NotRegular, OSError.
    """
    data = client.submission(version["id"])
    beside = _free(work.with_name(f"{work.name}-attempt-{version['attempt']}"))
    archive.unpack(data, beside)
    if not replace:
        return Restored(beside)
    kept = None
    if work.exists():
        stamp = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
        kept = _free(work.with_name(f"{work.name}-before-{stamp}"))
        work.rename(kept)
    beside.rename(work)
    return Restored(work, kept)


def _free(wanted: Path) -> Path:
    """`wanted`, or the first of ``<wanted>-2``, ``-3``… that is not there."""
    path, number = wanted, 1
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")
    return path


def _listed(version: Json) -> str:
    score = version.get("score")
    words = [f"{version['attempt']:>3}", version["received_at"], version["id"]]
    words += ["late"] if version["late"] else []
    words += [f"{score['score']:g}/{score['max_score']:g}"] if score else []
    return "  ".join(words)


def main(arguments: list[str]) -> int:
    """0 when done, 1 when refused, 2 for wrong arguments."""
    replace = "--replace" in arguments
    given = [word for word in arguments if word != "--replace"]
    if len(given) not in (2, 3) or (len(given) == 3 and not given[2].isdecimal()):
        print(
            "usage: python -m grader.exchange.restore COURSE ASSIGNMENT [ATTEMPT [--replace]]",
            file=sys.stderr,
        )
        return 2
    course, assignment = given[:2]
    try:
        client = Client.from_environment()
        versions = client.submissions(course, assignment)
        if len(given) == 2:
            print("\n".join(map(_listed, versions)))
            return 0
        found = [v for v in versions if v["attempt"] == int(given[2])]
        if not found:
            print(f"there is no attempt {given[2]}; there are: {len(versions)}", file=sys.stderr)
            return 1
        done = restore(client, found[0], Path.home() / course / assignment, replace)
    except (Refused, Unavailable, archive.NotRegular, OSError) as error:
        print(f"restore {course}/{assignment}: {error}", file=sys.stderr)
        return 1
    print(f"restored to {done.folder}{os.linesep}your work is kept in {done.kept or 'its place'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
